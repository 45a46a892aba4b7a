# SPDX-License-Identifier: MIT
# latchkey_modules(name...): for each name, name.cppm in this folder is a module interface of the library, and name.cpp,
# if it is there, its implementation unit. Explicit lists only: the level structure should be readable here.
# A folder that is a library of its own sets latchkey_target to its name first.
set(latchkey_target latchkey)
function(latchkey_modules)
  foreach(name IN LISTS ARGN)
    target_sources(${latchkey_target} PUBLIC FILE_SET CXX_MODULES BASE_DIRS ${PROJECT_SOURCE_DIR}
                   FILES ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cppm)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp)
      target_sources(${latchkey_target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp)
    endif()
  endforeach()
endfunction()

# latchkey_sources(file...): further implementation units.
function(latchkey_sources)
  foreach(file IN LISTS ARGN)
    target_sources(${latchkey_target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
endfunction()

# latchkey_test(target file...): a Catch2 program over the library. Sources ending in _test.cpp hold the tests.
function(latchkey_test target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE latchkey latchkey_test_support latchkey_warnings Catch2::Catch2WithMain)
  target_compile_definitions(${target} PRIVATE LATCHKEY_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  catch_discover_tests(${target} TEST_PREFIX "${target}: " PROPERTIES TIMEOUT 120 DISCOVERY_MODE PRE_TEST)
endfunction()
