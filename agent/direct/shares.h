// SPDX-License-Identifier: Apache-2.0
// Who has the memory for rings where there is not enough of it: a control group that has less than
// its share gets it from those that have more, beyond that heat decides. Pure.
#ifndef SMC_STEER_AGENT_DIRECT_SHARES_H
#define SMC_STEER_AGENT_DIRECT_SHARES_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace smc_steer {

// A connection that has rings, or wants some.
struct Claim {
    std::uint64_t group = 0;         // id of the control group that its socket was made in
    std::uint64_t bytes = 0;         // of its ring
    std::uint64_t recent_bytes = 0;  // that it moved from one look to the next
    bool can_give = false;           // it is moved, and may go back
};

class Shares {
public:
    // `held`: all that have rings, which is all there is room for. `percent`: of it, for a group.
    Shares(const std::vector<Claim>& held, int percent);

    // What a group may have beyond what it has.
    std::uint64_t left(std::uint64_t group) const;

    struct Giver {
        std::size_t index = 0;  // in `held`
        bool by_share = false;  // else since it is colder
    };
    // Who gives its rings to `wants`; none: it has to do without.
    std::optional<Giver> giver(const Claim& wants) const;

private:
    std::uint64_t held_by(std::uint64_t group) const;
    // Bytes for a group, if this one has some or wants some.
    std::uint64_t share_beside(std::uint64_t group) const;

    const std::vector<Claim>& held_;
    std::map<std::uint64_t, std::uint64_t> by_group_;
    std::uint64_t all_ = 0;  // bytes
    int percent_;
};

// In which order they are served: each group's hottest, then each group's second, and so on. So one
// with ten thousand is served as often as one with a single connection, until that one has what it
// wants. Indices of `wanting`.
std::vector<std::size_t> in_turn(const std::vector<Claim>& wanting);

}  // namespace smc_steer

#endif  // SMC_STEER_AGENT_DIRECT_SHARES_H
