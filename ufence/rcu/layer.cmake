pkg_check_modules(liburcu_bp REQUIRED IMPORTED_TARGET GLOBAL liburcu-bp>=0.13)
target_link_libraries(ufence_rcu PRIVATE PkgConfig::liburcu_bp)
