// The half of `together` that is imported.
int other(int number);

int other(int number)
{
	return 2 * number + 2;
}
