# `cmake --install` and find_package(Trireme): libraries, headers under include/trireme, the package file.
include_guard()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS trireme_flags trireme_core trireme_comm trireme_datasets trireme_launcher
  EXPORT TriremeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS trireme RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Written by the program itself, from its table of options.
install(FILES ${CMAKE_BINARY_DIR}/launcher/trireme.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/launcher/trireme.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME trireme)
set_target_properties(trireme_flags PROPERTIES EXPORT_NAME flags)
foreach(folder core comm datasets launcher)
  install(DIRECTORY ${folder} DESTINATION include/trireme FILES_MATCHING PATTERN "*.hpp")
endforeach()
install(EXPORT TriremeTargets NAMESPACE Trireme:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
configure_package_config_file(core/cmake/TriremeConfig.cmake.in ${CMAKE_BINARY_DIR}/TriremeConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/TriremeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/TriremeConfig.cmake ${CMAKE_BINARY_DIR}/TriremeConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
