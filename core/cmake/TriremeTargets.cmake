# Compile flags shared by all targets, and trireme_library(): one static library from all sources of a folder.
include_guard()
include(CheckCompilerFlag)

add_library(trireme_flags INTERFACE)
# Binaries travel to other hosts: x86-64-v3 (AVX2, FMA), checked at start, never -march=native.
# g++ 12 warns falsely of std::string's own copies (restrict) and of initialiser lists (dangling-pointer).
set(TRIREME_WARNINGS -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-restrict -Wno-dangling-pointer)
if(CMAKE_UNITY_BUILD)
  # Files that are compiled as one see each other's names, which hides nothing from a reader of either.
  list(APPEND TRIREME_WARNINGS -Wno-shadow -Wshadow=local -Wno-subobject-linkage)
endif()
# Nobody looks at the errno of sqrt, and it hinders vectors; no value changes by this flag.
set(TRIREME_HOST_FLAGS -march=x86-64-v3 -fno-math-errno)
# g++ copies packs of numbers by 16 bytes unless told otherwise, and then waits when their 32 bytes are read as one.
set(TRIREME_WIDE_COPIES -mmove-max=256 -mstore-max=256)
check_compiler_flag(CXX "${TRIREME_WIDE_COPIES}" TRIREME_CXX_COPIES_WIDE)
if(TRIREME_CXX_COPIES_WIDE)
  target_compile_options(trireme_flags INTERFACE
    "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:${TRIREME_WIDE_COPIES}>>")
endif()
if(NOT TRIREME_SANITIZE STREQUAL none)
  # g++ 12 takes what the sanitizers insert for uses of uninitialised memory; warnings are judged without them.
  set(TRIREME_WARNINGS -w)
endif()
if(TRIREME_SANITIZE STREQUAL address)
  list(APPEND TRIREME_HOST_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(trireme_flags INTERFACE -fsanitize=address,undefined)
elseif(TRIREME_SANITIZE STREQUAL fuzzer)
  list(APPEND TRIREME_HOST_FLAGS -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow
       -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(TRIREME_SANITIZE STREQUAL thread)
  list(APPEND TRIREME_HOST_FLAGS -fsanitize=thread -fno-omit-frame-pointer -Wno-unknown-pragmas)
  target_link_options(trireme_flags INTERFACE -fsanitize=thread)
endif()
target_compile_options(trireme_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${TRIREME_HOST_FLAGS}>"
  "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:${TRIREME_WARNINGS}>>")
if(TRIREME_HAS_CUDA)
  # -Wconversion and -Wshadow stay with g++, which sees the same text and not what nvcc makes of it.
  target_compile_options(trireme_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:--expt-relaxed-constexpr --extended-lambda -Werror all-warnings>"
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler -march=x86-64-v3,-fno-math-errno,-fopenmp,-Wall>")
  string(JOIN "," wide_copies ${TRIREME_WIDE_COPIES})
  check_compiler_flag(CUDA "-Xcompiler=${wide_copies}" TRIREME_CUDA_COPIES_WIDE)
  if(TRIREME_CUDA_COPIES_WIDE)
    target_compile_options(trireme_flags INTERFACE
      "$<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler ${wide_copies}>>")
  endif()
  target_compile_definitions(trireme_flags INTERFACE TRIREME_HAS_CUDA=1)
endif()
target_compile_features(trireme_flags INTERFACE cxx_std_20)
target_include_directories(trireme_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<INSTALL_INTERFACE:include/trireme>)

# trireme_library(NAME [LIBRARIES...]): builds lib trireme_NAME from all .cpp files under the current folder.
# The presets compile a dozen files at a time as one (CMAKE_UNITY_BUILD), which takes half the time in all; so no two
# files of a library or test program may have a name of their own in common.
# Files named *_launch.cpp instantiate kernels; nvcc compiles them where CUDA is on.
function(trireme_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  add_library(trireme_${name} STATIC ${sources})
  add_library(Trireme::${name} ALIAS trireme_${name})
  if(TRIREME_HAS_CUDA)
    set(device_sources ${sources})
    list(FILTER device_sources INCLUDE REGEX "_launch\\.cpp$")
    set_source_files_properties(${device_sources} PROPERTIES LANGUAGE CUDA)
  endif()
  # Alone, with CUDA or without: so the other files come together in the same way in every build.
  set(kernel_sources ${sources})
  list(FILTER kernel_sources INCLUDE REGEX "_launch\\.cpp$")
  set_source_files_properties(${kernel_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  if(TRIREME_SANITIZE STREQUAL address)
    # That build is -O0, which compiles in half the time; but kernels and tokenizers would run ten times as long.
    set_source_files_properties(${kernel_sources} PROPERTIES COMPILE_OPTIONS -O1)
    if(name STREQUAL datasets)
      target_compile_options(trireme_datasets PRIVATE -O1)
    endif()
  endif()
  target_link_libraries(trireme_${name} PUBLIC trireme_flags ${ARGN})
  set_target_properties(trireme_${name} PROPERTIES EXPORT_NAME ${name})
endfunction()
