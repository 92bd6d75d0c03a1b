// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has calls of one function of the kernel's fail, in any kernel that has kprobes: with failslab, which
 * only the checked kernel has, it is an allocation that fails, and not a certain one.
 *
 *   insmod inject.ko symbol=request_threaded_irq value=-12 skip=2 count=1 delay_ms=300
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/linkage.h>
#include <linux/module.h>

static char *symbol;
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function");

static long value = -ENOMEM;
module_param(value, long, 0444);
MODULE_PARM_DESC(value, "what it returns instead of running (default -12, -ENOMEM)");

static int skip;
module_param(skip, int, 0444);
MODULE_PARM_DESC(skip, "calls that run before");

static int count = 1;
module_param(count, int, 0444);
MODULE_PARM_DESC(count, "calls that do not (default 1; -1: all that follow)");

static unsigned int delay_ms;
module_param(delay_ms, uint, 0444);
MODULE_PARM_DESC(delay_ms, "what such a call takes, so that others can run meanwhile");

static DEFINE_SPINLOCK(lock);

/* Returns to whoever called the function that is not to run. */
void inject_return(void);
asm(".pushsection .text\n"
    ".type inject_return, @function\n"
    "inject_return:\n"
    "	" ASM_RET ".size inject_return, .-inject_return\n"
    ".popsection\n");

static bool inject_this_one(void)
{
	unsigned long flags;
	bool fail = false;

	spin_lock_irqsave(&lock, flags);
	if (skip) {
		skip--;
	} else if (count) {
		count -= count > 0;
		fail = true;
	}
	spin_unlock_irqrestore(&lock, flags);
	return fail;
}

static int inject_before(struct kprobe *probe, struct pt_regs *regs)
{
	if (!inject_this_one())
		return 0;
	mdelay(delay_ms);
	regs_set_return_value(regs, value);
	instruction_pointer_set(regs, (unsigned long)inject_return);
	return 1;
}
NOKPROBE_SYMBOL(inject_before);

static struct kprobe probe = {
	.pre_handler = inject_before,
};

static int __init inject_init(void)
{
	probe.symbol_name = symbol;
	return register_kprobe(&probe);
}

static void __exit inject_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(inject_init);
module_exit(inject_exit);

MODULE_DESCRIPTION("failing calls for tests");
MODULE_LICENSE("GPL");
