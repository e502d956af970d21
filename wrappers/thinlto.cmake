# CMake: cmake -DCMAKE_TOOLCHAIN_FILE=HERE/thinlto.cmake -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 …
# Every target is compiled for ThinLTO and linked by thinlto-ld; include() it in a toolchain file of your own where you have one.

# Not CMAKE_INTERPROCEDURAL_OPTIMIZATION: projects made for CMake before 3.9 ignore it (CMP0069).
foreach(language IN ITEMS C CXX)
  string(APPEND CMAKE_${language}_FLAGS_INIT " -flto=thin")
endforeach()
foreach(kind IN ITEMS EXE SHARED MODULE)
  string(APPEND CMAKE_${kind}_LINKER_FLAGS_INIT " --ld-path=${CMAKE_CURRENT_LIST_DIR}/ld.lld")
endforeach()
