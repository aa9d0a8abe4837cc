pkg_check_modules(liburcu_bp REQUIRED IMPORTED_TARGET GLOBAL liburcu-bp>=0.13)
# rcu.h is inline over it.
target_link_libraries(ufence_rcu PUBLIC PkgConfig::liburcu_bp)
