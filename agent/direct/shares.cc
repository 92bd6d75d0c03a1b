// SPDX-License-Identifier: Apache-2.0
#include "agent/direct/shares.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "agent/direct/heat.h"

namespace smc_steer {

Shares::Shares(const std::vector<Claim>& held, int percent) : held_(held), percent_(percent) {
    for (const auto& claim : held) {
        by_group_[claim.group] += claim.bytes;
        all_ += claim.bytes;
    }
}

// Where there are more groups than such shares all have the same.
std::uint64_t Shares::share_beside(std::uint64_t group) const {
    auto groups = by_group_.size() + (by_group_.contains(group) ? 0 : 1);
    auto share = all_ * static_cast<std::uint64_t>(percent_) / 100;
    return percent_ == 100 ? share : std::min(share, all_ / groups);
}

std::uint64_t Shares::held_by(std::uint64_t group) const {
    auto known = by_group_.find(group);
    return known == by_group_.end() ? 0 : known->second;
}

std::uint64_t Shares::left(std::uint64_t group) const {
    auto share = share_beside(group);
    return share - std::min(share, held_by(group));
}

// A group within its share loses nothing to one beyond it, however hot that is: it would take it
// back, and so on for ever.
std::optional<Shares::Giver> Shares::giver(const Claim& wants) const {
    auto share = share_beside(wants.group);
    bool entitled = left(wants.group) >= kSmallestRing;
    std::optional<std::size_t> of_others, coldest;
    for (std::size_t i = 0; i < held_.size(); i++) {
        const auto& claim = held_[i];
        bool own = claim.group == wants.group, over = held_by(claim.group) > share;
        if (!claim.can_give) {
            continue;
        }
        // The coldest of the group that has the most.
        auto rank = [this](const Claim& one) {
            return std::tuple(~held_by(one.group), one.recent_bytes);
        };
        if (entitled && !own && over && (!of_others || rank(claim) < rank(held_[*of_others]))) {
            of_others = i;
        }
        if ((entitled || own || over) &&
            (!coldest || claim.recent_bytes < held_[*coldest].recent_bytes)) {
            coldest = i;
        }
    }
    if (of_others) {
        return Giver{*of_others, true};
    }
    if (coldest && gives_way(held_[*coldest].recent_bytes, wants.recent_bytes)) {
        return Giver{*coldest, false};
    }
    return std::nullopt;
}

std::vector<std::size_t> in_turn(const std::vector<Claim>& wanting) {
    std::vector<std::size_t> order(wanting.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t one, std::size_t other) {
        return wanting[one].recent_bytes > wanting[other].recent_bytes;
    });
    std::vector<std::size_t> turn(wanting.size());
    std::map<std::uint64_t, std::size_t> served;
    for (auto each : order) {
        turn[each] = served[wanting[each].group]++;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t one, std::size_t other) { return turn[one] < turn[other]; });
    return order;
}

}  // namespace smc_steer
