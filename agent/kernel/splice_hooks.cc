// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/splice_hooks.h"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "agent/base/clock.h"
#include "join.skel.h"
#include "splice.skel.h"

namespace smc_steer {
namespace {

constexpr const char* kNames[] = {"splice_peer4", "splice_peer6", "splice_own4", "splice_own6"};

splice_name name_of(const Endpoint& endpoint) {
    splice_name name{};
    std::memcpy(name.address.in6, endpoint.address.in6.data(), sizeof(name.address.in6));
    name.port = endpoint.port;
    return name;
}

// What a program of type "syscall" returns; empty: it did not run.
template <typename T>
std::optional<std::uint32_t> run(int program, T context) {
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    if (bpf_prog_test_run_opts(program, &options) != 0) {
        return std::nullopt;
    }
    return options.retval;
}

}  // namespace

Result<std::unique_ptr<SpliceHooks>> SpliceHooks::load(SharedMaps& maps, bool outgoing) {
    auto object = BpfObject::open("splice", ::splice::elf_bytes);
    if (!object) {
        return tl::unexpected(object.error());
    }
    if (auto done = object->load(maps); !done) {
        return tl::unexpected(done.error());
    }
    const bpf_program* settle = object->program("splice_settle");
    const bpf_program* learn = object->program("splice_learn");
    if (!settle || !learn) {
        return fail("BPF splice: has no program splice_settle or splice_learn");
    }
    std::unique_ptr<SpliceHooks> self(new SpliceHooks(std::move(*object)));
    self->settle_ = bpf_program__fd(settle);
    self->learn_ = bpf_program__fd(learn);
    self->outgoing_ = outgoing;
    self->relays_ = maps.at("relays");
    self->listeners_ = maps.at("listeners");
    self->callers_ = maps.at("callers");
    self->declined_ = maps.at("declined");
    auto on_sample = [](void* context, void* data, std::size_t size) {
        if (size >= sizeof(splice_event)) {
            splice_event event;
            std::memcpy(&event, data, sizeof(event));
            static_cast<SpliceHooks*>(context)->on_event_(event);
        }
        return 0;
    };
    self->ring_.reset(ring_buffer__new(maps.at("asked"), on_sample, self.get(), nullptr));
    if (!self->ring_) {
        return fail_errno(errno, "cannot read which connections are to be relayed");
    }
    return self;
}

Result<void> SpliceHooks::load_join(SharedMaps& maps) {
    auto object = BpfObject::open("join", ::join::elf_bytes);
    if (!object) {
        return tl::unexpected(object.error());
    }
    if (auto done = object->load(maps); !done) {
        return done;
    }
    bpf_program* program = object->program("join");
    if (!program ||
        bpf_prog_attach(bpf_program__fd(program), maps.at("joined"), BPF_SK_MSG_VERDICT, 0) != 0) {
        return fail_errno(errno, "BPF join: cannot attach");
    }
    join_.emplace(std::move(*object));
    return {};
}

Result<void> SpliceHooks::attach(const char* name, int target, std::vector<UniqueFd>& links) const {
    bpf_program* program = splice_.program(name);
    if (!program) {
        return fail("BPF splice: has no program {}", name);
    }
    UniqueFd link(bpf_link_create(bpf_program__fd(program), target,
                                  bpf_program__expected_attach_type(program), nullptr));
    if (!link) {
        return fail_errno(errno, "BPF splice: cannot attach {}", name);
    }
    links.push_back(std::move(link));
    return {};
}

// What follows a connection comes before what begins one.
Result<void> SpliceHooks::attach() {
    UniqueFd root(open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        return fail_errno(errno, "cannot open /sys/fs/cgroup");
    }
    if (auto done = attach("splice_events", root.get(), links_); !done) {
        return done;
    }
    for (const char* name : kNames) {
        if (auto done = attach(name, root.get(), links_); !done) {
            return done;
        }
    }
    if (outgoing_) {
        for (const char* name : {"splice_connect4", "splice_connect6"}) {
            if (auto done = attach(name, root.get(), connect_links_); !done) {
                return done;
            }
        }
    }
    return {};
}

Result<UniqueFd> SpliceHooks::attach_lookup(int netns) const {
    std::vector<UniqueFd> links;
    if (auto done = attach("splice_lookup", netns, links); !done) {
        return tl::unexpected(done.error());
    }
    return std::move(links.front());
}

Result<void> SpliceHooks::set_relay(std::uint64_t netns, splice_relay relay) const {
    if (bpf_map_update_elem(relays_, &netns, &relay, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot relay in one more network namespace");
    }
    return {};
}

void SpliceHooks::remove_relay(std::uint64_t netns) const { bpf_map_delete_elem(relays_, &netns); }

Result<void> SpliceHooks::set_listener(splice_place place, int socket) const {
    auto value = static_cast<std::uint64_t>(socket);
    if (bpf_map_update_elem(listeners_, &place, &value, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot hand connections to the agent's listener");
    }
    return {};
}

bool SpliceHooks::settle(const splice_way& way, std::uint64_t cookie, splice_state state,
                         const Endpoint& local) const {
    return run(settle_, splice_word{way, cookie, name_of(local), state}).value_or(0) != 0;
}

bool SpliceHooks::release(const splice_way& way, std::uint64_t cookie,
                          const Endpoint& local) const {
    return settle(way, cookie, SPLICE_GO, local);
}

void SpliceHooks::refuse(const splice_way& way, std::uint64_t cookie) const {
    settle(way, cookie, SPLICE_REFUSED, {});
}

void SpliceHooks::decline(const Endpoint& server, std::uint64_t nanoseconds) const {
    auto name = name_of(server);
    std::uint64_t until = monotonic_ns() + nanoseconds;
    bpf_map_update_elem(declined_, &name, &until, BPF_ANY);
}

void SpliceHooks::learn(const Endpoint& server, std::uint64_t bytes,
                        std::uint64_t nanoseconds) const {
    run(learn_, splice_length{bytes, nanoseconds, name_of(server), 0});
}

Result<void> SpliceHooks::announce(const splice_caller& from, const Endpoint& caller) const {
    auto name = name_of(caller);
    if (bpf_map_update_elem(callers_, &from, &name, BPF_ANY) != 0) {
        return fail_errno(errno, "cannot say whom a connection stands for");
    }
    return {};
}

void SpliceHooks::forget(const splice_caller& from) const { bpf_map_delete_elem(callers_, &from); }

int SpliceHooks::fd() const { return ring_buffer__epoll_fd(ring_.get()); }

void SpliceHooks::consume(const std::function<void(const splice_event&)>& on_event) {
    on_event_ = on_event;
    ring_buffer__consume(ring_.get());
    on_event_ = nullptr;
}

}  // namespace smc_steer
