int main(int count, char**) {
  try {
    if (count == 1) throw 1;
  } catch (int) {
  }
}
