// The places that changes come from: each has one number, copies its parts, and there is a limit.
#include "capture/causes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace dbnet::capture {
namespace {

TEST(CaptureCauses, ThePlaceHasOneNumber) {
    Causes causes(std::pmr::new_delete_resource());
    std::array frames{Frame{10, 0, 3, {}}, Frame{20, 5, 7, {}}};
    EXPECT_EQ(causes.number_of(frames), 1u);
    EXPECT_EQ(causes.number_of(frames), 1u);
    frames[0].line = 4;
    EXPECT_EQ(causes.number_of(frames), 2u);
    EXPECT_EQ(causes.number_of(std::span(frames).first(1)), 3u);
    frames[1] = {0, 0, 0, "SQL function \"provision\" statement 1"};
    EXPECT_EQ(causes.number_of(frames), 4u);
    frames = {Frame{10, 0, 3, {}}, Frame{20, 5, 7, {}}};
    EXPECT_EQ(causes.number_of(frames), 1u);
    EXPECT_EQ(causes.number_of({}), 0u);
}

TEST(CaptureCauses, FindsWhatWasNumbered) {
    Causes causes(std::pmr::new_delete_resource());
    std::string text = "COPY nodes, line 2";
    std::array frames{Frame{10, 0, 3, {}}, Frame{0, 0, 0, text}};
    causes.number_of(frames);
    frames = {};
    text = "gone";
    ASSERT_EQ(causes.find(1).size(), 2u);
    EXPECT_EQ(causes.find(1)[0], (Frame{10, 0, 3, {}}));
    EXPECT_EQ(causes.find(1)[1].text, "COPY nodes, line 2");
    EXPECT_TRUE(causes.find(0).empty());
    EXPECT_TRUE(causes.find(2).empty());
}

TEST(CaptureCauses, BeyondTheLimitThereIsNoNumber) {
    Causes causes(std::pmr::new_delete_resource());
    for (std::uint32_t place = 1; place <= Causes::limit; ++place) {
        const Frame frame{place, 0, 1, {}};
        ASSERT_EQ(causes.number_of({&frame, 1}), place);
    }
    const Frame next{Causes::limit + 1, 0, 1, {}}, first{1, 0, 1, {}};
    EXPECT_EQ(causes.number_of({&next, 1}), 0u);
    EXPECT_EQ(causes.number_of({&first, 1}), 1u);
}

} // namespace
} // namespace dbnet::capture
