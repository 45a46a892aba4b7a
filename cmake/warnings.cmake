# SPDX-License-Identifier: MIT
add_library(latchkey_warnings INTERFACE)
option(LATCHKEY_WERROR "treat warnings as errors" OFF)
target_compile_options(latchkey_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor
                       $<$<BOOL:${LATCHKEY_WERROR}>:-Werror> -Werror=unused-result)
