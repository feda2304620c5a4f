# Installs the build BINARY into a folder of its own, builds the program SOURCE against it with find_package(Trireme) and
# starts it: cmake -DBINARY=DIR -DSOURCE=FILE -P run.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGV} ended with ${status}:\n${text}")
  endif()
  set(text "${text}" PARENT_SCOPE)
endfunction()

set(work ${BINARY}/install_test)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BINARY} --prefix ${work}/prefix)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -G Ninja -DSOURCE=${SOURCE}
    -DCMAKE_PREFIX_PATH=${work}/prefix -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/mine --help)
if(NOT text MATCHES "--learning-rate")
  message(FATAL_ERROR "the program built against the installed library does not show its options:\n${text}")
endif()
run(${work}/prefix/bin/trireme --version)
file(REMOVE_RECURSE ${work})
