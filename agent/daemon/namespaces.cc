// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/namespaces.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>

namespace smc_steer {
namespace {

constexpr std::size_t kSampledAtOnce = 64;

template <typename T>
Result<void> keep(Result<T> opened, std::unique_ptr<T>& place) {
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    place = std::make_unique<T>(std::move(*opened));
    return {};
}

}  // namespace

Namespaces::Namespaces(EventLoop& loop, std::optional<SmcSysctls> sysctls, NotPublished left_out,
                       SavedState inherited, std::function<void()> on_addresses)
    : loop_(loop),
      sysctls_(std::move(sysctls)),
      left_out_(std::move(left_out)),
      own_(own_netns()),
      inherited_(std::move(inherited)),
      on_addresses_(std::move(on_addresses)),
      totals_(inherited_.totals) {}

Result<Namespaces::Covered> Namespaces::cover(NetnsId id, UniqueFd fd) {
    Covered covered;
    covered.fd = std::move(fd);
    auto done = run_in_netns(covered.fd, [&]() -> Result<void> {
        if (auto r = keep(DiagSocket::open(), covered.diag); !r) {
            return r;
        }
        if (auto r = keep(OwnAddresses::open(), covered.addresses); !r) {
            return r;
        }
        return sysctls_ ? set_up_smc(id, covered) : Result<void>{};
    });
    if (!done) {
        return tl::unexpected(done.error());
    }

    // What a namespace did before we came is not ours to report; one that is born under us
    // has done nothing before.
    if (first_scan_ && covered.smc) {
        if (auto stats = covered.smc->stats()) {
            covered.seen = std::move(*stats);
        }
    }
    auto* addresses = covered.addresses.get();
    auto news = loop_.on_io(addresses->fd(), EPOLLIN, [this, addresses, id](std::uint32_t) {
        addresses->drain();
        if (auto entry = covered_.find(id); entry != covered_.end()) {
            entry->second.addresses_changed = true;
        }
        on_addresses_();
    });
    if (!news) {
        return tl::unexpected(news.error());
    }
    covered.news = std::move(*news);
    return covered;
}

// The last thing that is done: nothing that can fail after it would leave it set.
Result<void> Namespaces::set_up_smc(NetnsId id, Covered& covered) {
    if (auto r = keep(SmcNetlink::open(), covered.smc); !r) {
        return r;
    }
    auto saved = apply_sysctls(*sysctls_);
    if (!saved) {
        return tl::unexpected(saved.error());
    }
    covered.saved = *saved;
    if (sysctls_->limit_handshakes) {
        auto limited = covered.smc->limit_handshakes();
        if (!limited) {
            spdlog::warn("net:[{}]: {}", id.inode, limited.error().message);
        }
        covered.saved.limited = limited.value_or(false);
    }
    if (auto before = inherited_.namespaces.find(id); before != inherited_.namespaces.end()) {
        covered.saved = before->second;
    }
    return {};
}

bool Namespaces::scan() {
    auto found = list_netns();
    bool changed = false;
    for (auto it = covered_.begin(); it != covered_.end();) {
        if (found.contains(it->first)) {
            ++it;
            continue;
        }
        look(it->second);
        it = covered_.erase(it);
        changed = true;
    }
    attempts_.forget_if([&](const NetnsId& id) { return !found.contains(id); });
    for (const auto& [id, path] : found) {
        if (covered_.contains(id) || !attempts_.worth_it(id)) {
            continue;
        }
        auto fd = open_netns(path, id);
        if (fd && !*fd) {
            continue;  // the next scan finds it elsewhere, if it is there
        }
        auto covered = fd ? cover(id, std::move(*fd)) : tl::unexpected(fd.error());
        if (!covered) {
            if (attempts_.failed(id, covered.error())) {
                spdlog::warn(
                    "network namespace net:[{}] {}: {}", id.inode,
                    attempts_.worth_it(id) ? "is plain TCP until there is room" : "stays plain TCP",
                    covered.error().message);
            }
            continue;
        }
        attempts_.succeeded(id);
        covered_.emplace(id, std::move(*covered));
        spdlog::debug("network namespace net:[{}] is covered", id.inode);
        changed = true;
    }
    if (first_scan_) {
        // A number that is free again may be a new namespace's: only those alive now count.
        inherited_.namespaces.clear();
        first_scan_ = false;
    }
    return changed;
}

std::map<NetnsId, int> Namespaces::covered() const {
    std::map<NetnsId, int> all;
    for (const auto& [id, covered] : covered_) {
        all[id] = covered.fd.get();
    }
    return all;
}

void Namespaces::look(Covered& covered) {
    if (!covered.smc) {
        return;
    }
    if (auto stats = covered.smc->stats()) {
        totals_.add_growth(covered.seen, *stats);
        covered.seen = std::move(*stats);
    }
}

void Namespaces::save(SavedState& state) {
    if (!sysctls_) {
        return;
    }
    state.set = *sysctls_;
    for (const auto& [id, covered] : covered_) {
        state.namespaces[id] = covered.saved;
    }
    state.totals = totals_;
}

void Namespaces::sample() {
    auto next = covered_.upper_bound(sampled_);
    for (std::size_t i = 0; i < std::min(kSampledAtOnce, covered_.size()); i++) {
        if (next == covered_.end()) {
            next = covered_.begin();
        }
        look(next->second);
        sampled_ = next->first;
        ++next;
    }
}

void Namespaces::sample_all() {
    for (auto& [id, covered] : covered_) {
        look(covered);
    }
}

void Namespaces::restore() {
    if (!sysctls_) {
        covered_.clear();
        return;
    }
    for (auto& entry : covered_) {
        auto& covered = entry.second;
        auto done =
            run_in_netns(covered.fd, [&] { return restore_sysctls(*sysctls_, covered.saved); });
        if (done && covered.saved.limited) {
            done = covered.smc->unlimit_handshakes();
        }
        if (!done) {
            spdlog::warn("network namespace net:[{}] keeps some of our settings: {}",
                         entry.first.inode, done.error().message);
        }
        look(covered);
    }
    covered_.clear();
}

DiagSocket* Namespaces::diag_of(ino_t netns) {
    auto entry = std::find_if(covered_.begin(), covered_.end(),
                              [&](const auto& each) { return each.first.inode == netns; });
    return entry == covered_.end() ? nullptr : entry->second.diag.get();
}

Result<std::vector<TcpSocket>> Namespaces::sockets(ino_t netns, TcpDetail detail) {
    auto* diag = diag_of(netns);
    return diag ? diag->tcp(-1, detail) : std::vector<TcpSocket>{};
}

Result<std::set<std::uint16_t>> Namespaces::listening(ino_t netns) {
    auto* diag = diag_of(netns);
    return diag ? diag->listening() : std::set<std::uint16_t>{};
}

GuestAddresses Namespaces::addresses() {
    GuestAddresses all;
    for (auto& [id, covered] : covered_) {
        if (covered.addresses_changed) {
            auto list = covered.addresses->list();
            if (!list) {
                spdlog::warn("network namespace net:[{}]: {}", id.inode, list.error().message);
                continue;
            }
            covered.published = publishable(*list, left_out_);
            covered.left_out = publishable(*list, {});
            for (const auto& address : covered.published) {
                covered.left_out.erase(address);
            }
            covered.addresses_changed = false;
        }
        auto& place = id == own_ ? all.node : all.others;
        place.insert(covered.published.begin(), covered.published.end());
        all.left_out.insert(covered.left_out.begin(), covered.left_out.end());
    }
    return all;
}

Result<std::vector<Namespaces::NamedFlow>> Namespaces::flows(
    const std::function<bool(const Address&)>& same_host, int connections) {
    std::vector<NamedFlow> all;
    for (auto& [id, covered] : covered_) {
        auto smc = covered.smc ? covered.diag->smc() : std::vector<SmcSocket>{};
        if (!smc) {
            return tl::unexpected(smc.error());
        }
        auto tcp = covered.diag->tcp(connections);
        if (!tcp) {
            return tl::unexpected(tcp.error());
        }
        for (auto& flow : join_flows(*smc, *tcp, same_host)) {
            all.push_back({id.inode, flow});
        }
    }
    return all;
}

}  // namespace smc_steer
