// A module of two files, which only ThinLTO makes one function.
#include <linux/module.h>

int other(int number);

static int __init together_init(void)
{
	pr_info("together %d\n", other(20));
	return 0;
}
module_init(together_init);

static void __exit together_exit(void)
{
}
module_exit(together_exit);

MODULE_DESCRIPTION("A module of two files");
MODULE_LICENSE("Dual MIT/GPL");
