// SPDX-License-Identifier: Apache-2.0
// Two guests whose stores wait in a buffer of their own before the other sees them, as x86's do,
// and all the orders in which that can end. What they run is the driver's code itself: each of its
// accessors is one step here, nothing depends on how busy the machine is, and no order is left out.
//
// A guest is run from its beginning for each step: what it read before it is told again, what it
// wrote is written already, and at the first access that is new it stops. Its code must depend on
// nothing but what it reads.
#ifndef SMC_STEER_TESTS_UNIT_TSO_H
#define SMC_STEER_TESTS_UNIT_TSO_H

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace tso {

using Address = std::uintptr_t;
using Value = std::uint64_t;

struct Guest {
    std::vector<Value> log;  // of each access: what it read, 0 for others
    std::vector<std::pair<Address, Value>>
        waits;  // stores that the other does not see yet, oldest first
    std::optional<bool> result;

    auto operator<=>(const Guest&) const = default;
};

struct State {
    std::map<Address, Value> memory;  // what was stored; else it is as it was
    std::array<Guest, 2> guests;

    auto operator<=>(const State&) const = default;
};

// The guest that runs just now.
struct Running {
    State* state = nullptr;
    Guest* guest = nullptr;
    std::size_t at = 0;  // accesses so far
    bool stepped = false;
};
inline Running running;  // NOLINT: macros have no other way to it
struct Stop {};

// Does the next access with `access`, or tells again what it was.
template <typename F>
Value step(F&& access) {
    auto& log = running.guest->log;
    if (running.at < log.size()) {
        return log[running.at++];
    }
    if (running.stepped) {
        throw Stop{};
    }
    running.stepped = true;
    const Value value = access();
    log.push_back(value);
    ++running.at;
    return value;
}

template <typename T>
T load(const T* from) {
    const auto at = reinterpret_cast<Address>(from);
    return static_cast<T>(step([&]() -> Value {
        const auto& waits = running.guest->waits;
        for (auto it = waits.rbegin(); it != waits.rend(); ++it) {
            if (it->first == at) {
                return it->second;
            }
        }
        const auto stored = running.state->memory.find(at);
        return stored == running.state->memory.end() ? static_cast<Value>(*from) : stored->second;
    }));
}

template <typename T>
void store(T* to, T value) {
    step([&]() -> Value {
        running.guest->waits.emplace_back(reinterpret_cast<Address>(to), static_cast<Value>(value));
        return 0;
    });
}

inline void drain_one(State& state, Guest& guest) {
    const auto [at, value] = guest.waits.front();
    guest.waits.erase(guest.waits.begin());
    state.memory[at] = value;
}

inline void barrier() {
    step([]() -> Value {
        while (!running.guest->waits.empty()) {
            drain_one(*running.state, *running.guest);
        }
        return 0;
    });
}

using Body = std::function<bool()>;

inline void run(State& state, std::size_t which, const Body& body) {
    running = {&state, &state.guests[which]};
    try {
        state.guests[which].result = body();
    } catch (const Stop&) {
    }
}

struct Ends {
    std::set<std::pair<bool, bool>> results;  // of the first and the second guest
    std::size_t states = 0;
};

// All the ends that there are.
inline Ends explore(const Body& first, const Body& second) {
    const std::array<const Body*, 2> bodies{&first, &second};
    std::set<State> seen;
    std::vector<State> todo(1);
    Ends ends;
    auto later = [&](State state) {
        if (auto [it, fresh] = seen.insert(std::move(state)); fresh) {
            todo.push_back(*it);
        }
    };
    while (!todo.empty()) {
        const State state = std::move(todo.back());
        todo.pop_back();
        ++ends.states;
        if (state.guests[0].result && state.guests[1].result) {
            ends.results.emplace(*state.guests[0].result, *state.guests[1].result);
        }
        for (std::size_t which = 0; which < 2; ++which) {
            if (!state.guests[which].result) {
                State next = state;
                run(next, which, *bodies[which]);
                later(std::move(next));
            }
            if (!state.guests[which].waits.empty()) {
                State next = state;
                drain_one(next, next.guests[which]);
                later(std::move(next));
            }
        }
    }
    return ends;
}

}  // namespace tso

#endif  // SMC_STEER_TESTS_UNIT_TSO_H
