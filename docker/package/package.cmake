# What `cmake --install` lays out and `cpack` packs (.deb, .tar.gz).
include(GNUInstallDirs)
set(here ${CMAKE_SOURCE_DIR}/docker/package)

install(TARGETS kancel RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/LICENSE
              ${CMAKE_SOURCE_DIR}/worker/app/kancel.example.yaml
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/proto/README.md RENAME messages.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/proto/command.schema.json ${CMAKE_SOURCE_DIR}/proto/result.schema.json
              ${CMAKE_SOURCE_DIR}/proto/asyncapi.yaml
        DESTINATION ${CMAKE_INSTALL_DATADIR}/kancel)
install(DIRECTORY DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/kancel)
configure_file(${here}/kancel.service ${CMAKE_BINARY_DIR}/kancel.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/kancel.service DESTINATION lib/systemd/system)
install(FILES ${here}/kancel.sysusers RENAME kancel.conf DESTINATION lib/sysusers.d)

# A librdkafka that the distribution does not know travels along, in a folder of our own.
if(NOT RDKAFKA_LIBDIR MATCHES "^/usr/lib")
    set_target_properties(kancel PROPERTIES
                          INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/kancel")
    file(REAL_PATH ${RDKAFKA_LIBDIR}/librdkafka.so.1 rdkafka)
    install(FILES ${rdkafka} RENAME librdkafka.so.1 DESTINATION ${CMAKE_INSTALL_LIBDIR}/kancel)
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${RDKAFKA_LIBDIR})
endif()

set(CPACK_PACKAGE_NAME kancel)
set(CPACK_PACKAGE_VERSION ${version})
set(CPACK_PACKAGE_CONTACT "kancel maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${here}/postinst ${here}/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
