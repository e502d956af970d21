// A module of one file: Kbuild links it inside its own compile recipe.
#include <linux/module.h>

static int __init alone_init(void)
{
	pr_info("alone\n");
	return 0;
}
module_init(alone_init);

static void __exit alone_exit(void)
{
}
module_exit(alone_exit);

MODULE_DESCRIPTION("A module of one file");
MODULE_LICENSE("Dual MIT/GPL");
