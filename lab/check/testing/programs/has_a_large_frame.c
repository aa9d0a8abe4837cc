int main(void) {
  volatile char local[300000];
  for (int i = 0; i < 300000; i += 4096) local[i] = 1;
  return 0;
}
