// SPDX-License-Identifier: Apache-2.0
// semantics: what programs can see of a stream socket, as a GoogleTest program. Knows nothing of
// SMC: it is run over TCP and over what replaces it, and the reports are compared
// (docs/TESTING.md).
//
//   semantics puppet --listen PORT        the far end of the tests, until killed
//   semantics --peer IP --peer6 IP --own IP --own6 IP --control PORT [--gtest_...]
//              [--first PORT] [--await rings|moved]
//                                         the tests, against a puppet at --peer; the first of
//                                         their ports; what each waits for once it has its
//                                         connection (semantics/rings.h)

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "semantics/fixture.h"
#include "semantics/puppet.h"

namespace {

int usage() {
    std::fprintf(stderr,
                 "usage: semantics puppet --listen PORT | semantics --peer IP --peer6 IP --own IP "
                 "--own6 IP --control PORT [--first PORT] [--await rings|moved] [--gtest_...]\n");
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4 && std::string_view(argv[1]) == "puppet") {
        return semantics::serve_puppets(static_cast<uint16_t>(std::atoi(argv[3])));
    }
    testing::InitGoogleTest(&argc, argv);
    std::string control, first;
    const std::map<std::string_view, std::string*> flags = {
        {"--peer", &semantics::setup.peer},
        {"--peer6", &semantics::setup.peer6},
        {"--own", &semantics::setup.own},
        {"--own6", &semantics::setup.own6},
        {"--control", &control},
        {"--first", &first},
        {"--await", &semantics::setup.await},
    };
    for (int i = 1; i + 1 < argc; i += 2) {
        const auto found = flags.find(argv[i]);
        if (found == flags.end()) {
            return usage();
        }
        *found->second = argv[i + 1];
    }
    semantics::setup.control = static_cast<uint16_t>(std::atoi(control.c_str()));
    const int after_control = semantics::setup.control + 1;
    semantics::setup.first =
        static_cast<uint16_t>(first.empty() ? after_control : std::atoi(first.c_str()));
    if (!testing::GTEST_FLAG(list_tests) &&
        (argc % 2 == 0 || semantics::setup.control == 0 || semantics::setup.own6.empty() ||
         semantics::setup.peer6.empty())) {
        return usage();
    }
    return RUN_ALL_TESTS();
}
