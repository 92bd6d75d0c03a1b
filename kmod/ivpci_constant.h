/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of a module that scripts compare: of its file (`modinfo -F NAME`) and of what is loaded (sysfs, `parameters`). */
#ifndef IVPCI_CONSTANT_H
#define IVPCI_CONSTANT_H

#include <linux/moduleparam.h>
#include <linux/stringify.h>
#include <linux/sysfs.h>

#define IVPCI_CONSTANT(name, value, text)                                       \
	static int name##_set(const char *to, const struct kernel_param *param) \
	{                                                                       \
		return -EPERM;                                                  \
	}                                                                       \
	static int name##_get(char *to, const struct kernel_param *param)       \
	{                                                                       \
		return sysfs_emit(to, "%u\n", (unsigned int)(value));           \
	}                                                                       \
	static const struct kernel_param_ops name##_ops = {                     \
		.set = name##_set,                                              \
		.get = name##_get,                                              \
	};                                                                      \
	module_param_cb(name, &name##_ops, NULL, 0444);                         \
	MODULE_PARM_DESC(name, "to be read only: " text);                       \
	MODULE_INFO(name, __stringify(value))

#endif
