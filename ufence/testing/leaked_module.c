// A module for leaking_tests.cc to leave mapped.
int leaked_module_answer(void);
int leaked_module_answer(void) { return 42; }
