/* Is called into: what is inlined, imported, and promoted on the way. */
_Thread_local int count;
int table[32] = {1, 2, 3, 5, 8};
extern int plain;
int leave(const char *);
static int hidden[4];

static __attribute__((noinline)) int deep(int n) { return n > 0 ? deep(n - 2) * hidden[n & 3] + deep(n - 1) : plain; }

int pick(int n) {
  switch (n) {
  case 0: return 5;
  case 1: return table[3];
  case 2: return deep(n);
  case 3: return count;
  case 4: return 99;
  case 5: return -4;
  case 6: return leave("six");
  default: return n ? n * table[n & 31] : 0;
  }
}

int spread(int n, int by) {
  int sum = 0;
  for (int i = 0; i < n; i++)
    sum += __builtin_popcount(table[i & 31] ^ by) + deep(i);
  return sum + (int)__builtin_floor(sum * 0.3);
}
