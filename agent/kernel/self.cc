// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/self.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "agent/kernel/bpf_object.h"
#include "self.skel.h"

namespace smc_steer {

Result<std::uint32_t> tgid_in_kernel() {
    auto object = BpfObject::open("self", ::self::elf_bytes);
    if (!object) {
        return tl::unexpected(object.error());
    }
    SharedMaps none;
    if (auto done = object->load(none); !done) {
        return tl::unexpected(done.error());
    }
    LIBBPF_OPTS(bpf_test_run_opts, options);
    if (bpf_prog_test_run_opts(bpf_program__fd(object->programs().front()), &options) != 0) {
        return fail_errno(errno, "BPF self: cannot run");
    }
    return options.retval;
}

}  // namespace smc_steer
