// SPDX-License-Identifier: Apache-2.0
// A directory for each test, gone with it.
#ifndef SMC_STEER_TESTS_UNIT_DIRECTORY_TEST_H
#define SMC_STEER_TESTS_UNIT_DIRECTORY_TEST_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace smc_steer {

class DirectoryTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = std::filesystem::temp_directory_path() / "smc-steer-unit-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        dir_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(dir_); }
    std::filesystem::path dir_;
};

}  // namespace smc_steer

#endif  // SMC_STEER_TESTS_UNIT_DIRECTORY_TEST_H
