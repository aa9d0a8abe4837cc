unsigned __int128 word = 0;
int main() { return __atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0 ? 0 : 1; }
