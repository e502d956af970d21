# CMake: cmake -DCMAKE_TOOLCHAIN_FILE=HERE/thinlto.cmake -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 …
# Every target is compiled for ThinLTO and linked by thinlto-ld; include() it in a toolchain file of your own where you have one.

set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON CACHE BOOL "-flto=thin, where the compiler is clang")
# Projects that ask for an older CMake would have that setting ignored.
set(CMAKE_POLICY_DEFAULT_CMP0069 NEW CACHE STRING "")

foreach(kind IN ITEMS EXE SHARED MODULE)
  string(APPEND CMAKE_${kind}_LINKER_FLAGS_INIT " --ld-path=${CMAKE_CURRENT_LIST_DIR}/ld.lld")
endforeach()
