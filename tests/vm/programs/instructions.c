/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin of QEMU's TCG: counts the instructions that a guest executes. `out=FILE`: its first
 * eight bytes are the number, little endian, at any time; the file is mapped, so to read it costs
 * the guest nothing.
 *
 * Exact for a guest of one CPU: QEMU 7.2 adds without a lock. A guest that sleeps executes none.
 * The functions are those of QEMU's docs/devel/tcg-plugins.rst, version 1; Debian ships no header
 * of theirs.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info_t;

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* tb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*translated)(qemu_plugin_id_t,
                                                              struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* tb, enum qemu_plugin_op op,
                                              void* number, uint64_t addend);

EXPORT int qemu_plugin_version = 1;

static uint64_t* executed;

/* Each block of instructions that QEMU translates adds its length whenever it runs. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, executed,
                                             qemu_plugin_tb_n_insns(tb));
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc,
                               char** argv) {
    int file;

    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4)) return -1;
    file = open(argv[0] + 4, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(*executed))) return -1;
    executed = mmap(NULL, sizeof(*executed), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (executed == MAP_FAILED) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
