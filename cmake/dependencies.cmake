# SPDX-License-Identifier: MIT
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(cpprestsdk REQUIRED)
find_package(SQLiteCpp REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(CURL REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares>=1.18)

set(latchkey_dependencies Threads::Threads OpenSSL::SSL OpenSSL::Crypto nlohmann_json::nlohmann_json cpprestsdk::cpprest
    SQLiteCpp SQLite::SQLite3 CURL::libcurl PkgConfig::sodium PkgConfig::cares)

if(LATCHKEY_TESTS)
  find_package(Catch2 3 REQUIRED)
  include(Catch)
endif()
