// SPDX-License-Identifier: Apache-2.0
// docs/POLICY.md: the lines of its table of examples, and its first example, do what it says.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "agent/policy/policy_file.h"
#include "agent/policy/verdicts.h"

namespace smc_steer {
namespace {

std::string page() {
    std::ifstream file(STEER_SOURCE_DIR "/docs/POLICY.md");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<std::string> matches(const std::string& text, const char* pattern) {
    std::regex regex(pattern);
    std::vector<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it) {
        found.push_back((*it)[1]);
    }
    return found;
}

// "deny out 6379 peers 10.0.0.0/8 of uid:1000", "all" for all ports.
Rule read_rule(const std::string& text) {
    std::istringstream words(text);
    std::string word;
    Rule rule;
    words >> word;
    rule.action = parse_action(word).value();
    while (words >> word) {
        if (auto direction = parse_direction(word)) {
            rule.direction = *direction;
        } else if (word == "peers") {
            words >> word;
            rule.peers.push_back(parse_cidr(word).value());
        } else if (word == "of") {
            words >> word;
            rule.workload = parse_workload(word).value();
        } else if (word != "all") {
            rule.ports.push_back(parse_port_range(word).value());
        }
    }
    EXPECT_TRUE(check_rule(rule)) << text;
    return rule;
}

Policy read_rules(const std::string& cell) {
    if (cell == "(none, no file)") {
        return builtin_policy();
    }
    Policy policy;
    for (const auto& text : matches(cell, "`([^`]*)`")) {
        if (text.starts_with("default: ")) {
            policy.default_action = parse_action(text.substr(9)).value();
        } else {
            policy.rules.push_back(read_rule(text));
        }
    }
    return policy;
}

// "to port 22, by uid 7", "from 10.0.0.2 to our port 22"
Connection read_connection(const std::string& cell) {
    Connection connection;
    connection.peer = *parse_in6("10.0.0.2");
    connection.way = cell.starts_with("from") ? Direction::in : Direction::out;
    connection.port = static_cast<std::uint16_t>(std::stoi(matches(cell, "port (\\d+)").at(0)));
    auto uid = matches(cell, "by uid (\\d+)"), cgroup = matches(cell, "by cgroup (\\S+)");
    auto name = matches(cell, "by pod (\\S+)");
    connection.is_of = [uid, cgroup, name](const Workload& workload) {
        if (workload.is_pod()) {
            Pod pod;
            auto slash = name.empty() ? 0 : name[0].find('/');
            pod.space = name.empty() ? "" : name[0].substr(0, slash);
            pod.name = name.empty() ? "" : name[0].substr(slash + 1);
            return !name.empty() && names_pod(workload, pod);
        }
        if (workload.kind == WorkloadKind::uid) {
            return !uid.empty() && uid[0] == workload.value;
        }
        return !cgroup.empty() && (cgroup[0] + "/").starts_with(workload.value + "/");
    };
    return connection;
}

TEST(PolicyDocumented, ExamplesDoWhatTheySay) {
    std::regex row(R"(\| (.*) \| ((?:to|from) .*) \| (allow|deny) \|)");
    std::istringstream lines(page());
    int rows = 0;
    for (std::string line; std::getline(lines, line);) {
        std::smatch cells;
        if (!std::regex_match(line, cells, row)) {
            continue;
        }
        rows++;
        EXPECT_EQ(
            to_string(explain(read_rules(cells[1]), read_connection(cells[2]), Via::smc).action),
            cells[3].str())
            << line;
    }
    EXPECT_GE(rows, 15);
}

TEST(PolicyDocumented, TheFilesOnThePageAreGood) {
    auto text = page();
    auto begin = text.find("```yaml\n"), end = text.find("```\n", begin + 8);
    ASSERT_NE(end, std::string::npos);
    auto file = parse_policy_file(text.substr(begin + 8, end - begin - 8), "POLICY.md");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->rules.size(), 4U);
}

TEST(PolicyDocumented, EveryWorkloadAndFieldIsThere) {
    auto text = page();
    for (const auto& [name, kind] : kWorkloadKinds) {
        EXPECT_NE(text.find(fmt::format("| `{}: ", name)), std::string::npos) << name;
    }
    for (const char* field :
         {"action", "direction", "ports", "peers", "workload", "via", "comment"}) {
        EXPECT_NE(text.find(fmt::format("| `{}` | ", field)), std::string::npos) << field;
    }
}

}  // namespace
}  // namespace smc_steer
