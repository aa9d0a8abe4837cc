struct node {
  node* next;
};
node* first = nullptr;
int main() {
  for (int i = 0; i < 3; ++i) first = new node{first};
}
