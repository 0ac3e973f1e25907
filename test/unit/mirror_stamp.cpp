// The stamp annotation.
#include "mirror/stamp.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

TEST(Stamp, FormatsAndParses) {
    const Stamp stamp{7438291045561234567u, 3, 0x1'11A2B3C8u, 42};
    EXPECT_EQ(format(stamp), "7438291045561234567/3/1/11A2B3C8/42");
    EXPECT_EQ(parse_stamp(format(stamp)), stamp);
    EXPECT_EQ(format(Stamp{1, 1, 0xABu, 0}), "1/1/0/AB/0");
    const Stamp largest{~0ull, ~0u, ~0ull, ~0ull};
    EXPECT_EQ(parse_stamp(format(largest)), largest);
}

TEST(Stamp, RefusesEverythingElse) {
    for (const char *text :
         {"", "1", "1/1/0/AB", "1/1/0/AB/", "1/1/0/AB/0/", "1/1/0/AB/0 ", " 1/1/0/AB/0", "-1/1/0/AB/0", "x/1/0/AB/0",
          "1/4294967296/0/AB/0", "1/1/100000000/AB/0", "18446744073709551616/1/0/AB/0", "1//0/AB/0"})
        EXPECT_EQ(parse_stamp(text), std::nullopt) << text;
}

TEST(Stamp, IsFoundInAnObject) {
    using nlohmann::json;
    EXPECT_EQ(stamp_of(json::parse(R"({"metadata":{"annotations":{"dbnet.io/stamp":"1/2/0/A/5"}}})")),
              (Stamp{1, 2, 10, 5}));
    for (const char *object : {"null", "[]", "{}", R"({"metadata":[]})", R"({"metadata":{"annotations":null}})",
                               R"({"metadata":{"annotations":{"dbnet.io/stamp":7}}})",
                               R"({"metadata":{"annotations":{"dbnet.io/stamp":"mine"}}})"})
        EXPECT_EQ(stamp_of(json::parse(object)), std::nullopt) << object;
}
