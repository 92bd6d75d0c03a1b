// SPDX-License-Identifier: Apache-2.0
// One BPF object file that is embedded in the agent (bpftool's skeleton) and its maps.
#ifndef SMC_STEER_AGENT_KERNEL_BPF_OBJECT_H
#define SMC_STEER_AGENT_KERNEL_BPF_OBJECT_H

#include <bpf/libbpf.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace smc_steer {

struct DestroyLink {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using BpfLink = std::unique_ptr<bpf_link, DestroyLink>;

// Maps that several objects declare are one map each: the first object that is loaded makes
// it, the later ones take it from here. Name -> descriptor, owned by the object that made it.
using SharedMaps = std::map<std::string, int>;

class BpfObject {
public:
    // `elf` as the skeleton embeds it (steer__elf_bytes()); `name` is for messages.
    static Result<BpfObject> open(std::string_view name, const void* elf, std::size_t size);
    // The same of a skeleton's NAME::elf_bytes().
    static Result<BpfObject> open(std::string_view name, const void* (*elf_bytes)(std::size_t*)) {
        std::size_t size = 0;
        const void* elf = elf_bytes(&size);
        return open(name, elf, size);
    }

    // Before load(): leave a struct_ops map out, with the programs only it uses.
    Result<void> leave_out(const std::string& map);
    // Takes the maps in `shared` from there and adds its own to it. Errors end with the
    // last thing libbpf or the verifier had to say.
    Result<void> load(SharedMaps& shared);

    const std::string& name() const { return name_; }
    bpf_map* map(const std::string& name) const;
    bpf_program* program(const std::string& name) const;  // nullptr: has none of that name
    std::vector<bpf_program*> programs() const;

private:
    struct Close {
        void operator()(bpf_object* object) const { bpf_object__close(object); }
    };
    BpfObject(std::string_view name, bpf_object* object) : name_(name), object_(object) {}

    std::string name_;
    std::unique_ptr<bpf_object, Close> object_;
};

// libbpf's own messages go to the debug log from now on; its warnings are kept for
// BpfObject's errors.
void bpf_log_init();

// What libbpf warned of since the last call of this, in one line, the verifier's reason
// included; empty: nothing.
std::string take_bpf_warning();

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_KERNEL_BPF_OBJECT_H
