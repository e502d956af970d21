# CMake: cmake -DCMAKE_TOOLCHAIN_FILE=HERE/thinlto.cmake …
# Every target is compiled for ThinLTO and linked by thinlto-ld; include() it in a toolchain file of your own where you have one.

# The compilers, unless -DCMAKE_C_COMPILER=, CC, their likes of C++ or a toolchain file that includes this one names any.
if(NOT CMAKE_C_COMPILER AND NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CC} AND NOT DEFINED ENV{CXX})
  set(CMAKE_C_COMPILER clang-22)
  set(CMAKE_CXX_COMPILER clang++-22)
endif()

# Not CMAKE_INTERPROCEDURAL_OPTIMIZATION: projects made for CMake before 3.9 ignore it (CMP0069).
foreach(language IN ITEMS C CXX)
  string(APPEND CMAKE_${language}_FLAGS_INIT " -flto=thin")
endforeach()
foreach(kind IN ITEMS EXE SHARED MODULE)
  string(APPEND CMAKE_${kind}_LINKER_FLAGS_INIT " --ld-path=/usr/local/lib/thinlto-ld/ld.lld")
endforeach()
