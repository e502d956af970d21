/* Begins, calls into the other modules, and has what position and thread models decide. */
double grid[64][64];
int plain, lists[64];
static int kept[8];
extern _Thread_local int count;
extern int table[32];
int pick(int), spread(int, int), leave(const char *);
__attribute__((weak)) int hook(int n) { return n + 1; }
int (*volatile chosen)(int) = pick;

static void turn(double by) {
  for (int i = 0; i < 64; i++)
    for (int j = 0; j < 64; j++)
      grid[j][i] = grid[j][i] * by + 1;
}

int first(int n) {
  turn(n);
  for (int i = 0; i < 64; i++)
    lists[i] = lists[i] * 3 + table[i & 31];
  kept[n & 7] = hook(n) + spread(n, 5) + ++count;
  if (n > 1000)
    return leave("far");
  return chosen(n) + pick(kept[n & 3]) + plain + (int)grid[1][n & 31];
}
