// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/base/attempts.h"

namespace smc_steer {
namespace {

TEST(Attempts, WhatTheMachineIsShortOfIsTriedAgain) {
    for (int code : {EAGAIN, EMFILE, ENFILE, ENOMEM, ENOBUFS}) {
        Attempts<int> attempts;
        EXPECT_TRUE(attempts.worth_it(7));
        EXPECT_TRUE(attempts.failed(7, Error{"no room", code}));
        EXPECT_TRUE(attempts.worth_it(7) && attempts.any_short()) << code;
        EXPECT_FALSE(attempts.failed(7, Error{"no room", code})) << "said before";
    }
}

TEST(Attempts, OtherFailuresStay) {
    Attempts<int> attempts;
    for (int code : {0, ENOENT, EPERM}) {
        EXPECT_TRUE(attempts.failed(code, Error{"no", code}));
        EXPECT_FALSE(attempts.worth_it(code) || attempts.any_short());
    }
    EXPECT_TRUE(attempts.worth_it(1000));
}

TEST(Attempts, AShortageCanTurnIntoAnotherFailure) {
    Attempts<int> attempts;
    attempts.failed(7, Error{"no room", EAGAIN});
    EXPECT_TRUE(attempts.failed(7, Error{"no", EPERM}));
    EXPECT_FALSE(attempts.worth_it(7));
}

TEST(Attempts, WhatSucceededOrIsGoneIsForgotten) {
    Attempts<int> attempts;
    attempts.failed(7, Error{"no room", EAGAIN});
    attempts.succeeded(7);
    EXPECT_TRUE(attempts.failed(7, Error{"no room", EAGAIN}));
    attempts.failed(8, Error{"no", EPERM});
    attempts.forget_if([](int key) { return key == 8; });
    EXPECT_TRUE(attempts.worth_it(8));
}

}  // namespace
}  // namespace smc_steer
