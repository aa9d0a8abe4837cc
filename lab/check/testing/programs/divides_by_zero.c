volatile int divisor;

int main(void) { return 5 / divisor; }
