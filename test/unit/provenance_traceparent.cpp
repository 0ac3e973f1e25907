// W3C trace context: what counts as one, and where in a statement it is found.
#include "provenance/hooks/traceparent.hpp"

#include <gtest/gtest.h>

#include <string>

using namespace dbnet::provenance;

namespace {

const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

} // namespace

TEST(Traceparent, IsVersionTraceSpanAndFlags) {
    EXPECT_TRUE(is_traceparent(good));
    EXPECT_TRUE(is_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff")) << "a version to come";
    EXPECT_FALSE(is_traceparent(""));
    EXPECT_FALSE(is_traceparent(good.substr(1)));
    EXPECT_FALSE(is_traceparent(good + "0"));
    EXPECT_FALSE(is_traceparent("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")) << "no version";
    EXPECT_FALSE(is_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
    EXPECT_FALSE(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"));
    EXPECT_FALSE(is_traceparent("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")) << "upper case";
    for (size_t place = 0; place < good.size(); ++place) {
        std::string wrong = good;
        wrong[place] = 'g';
        EXPECT_FALSE(is_traceparent(wrong)) << place;
    }
}

TEST(Traceparent, IsFoundInAComment) {
    EXPECT_EQ(find_traceparent("SELECT 1 /*traceparent='" + good + "'*/"), good);
    EXPECT_EQ(find_traceparent("/* hello */ SELECT 1 /*db_driver='x',traceparent='" + good + "',tracestate='y'*/"),
              good);
    EXPECT_EQ(find_traceparent("/*traceparent='" + good + "'"), good) << "a statement that was cut off";
    EXPECT_EQ(find_traceparent("/*traceparent='nothing'*/ /*traceparent='" + good + "'*/"), good);
}

TEST(Traceparent, IsNotFoundElsewhere) {
    EXPECT_EQ(find_traceparent(""), "");
    EXPECT_EQ(find_traceparent("/*"), "");
    EXPECT_EQ(find_traceparent("/**/"), "");
    EXPECT_EQ(find_traceparent("SELECT 'traceparent=''" + good + "'''"), "");
    EXPECT_EQ(find_traceparent("/* x */ traceparent='" + good + "'"), "") << "outside of the comment";
    EXPECT_EQ(find_traceparent("/*traceparent='" + good.substr(0, 40)), "");
}

TEST(Traceparent, CommentsBeforeAStatementAreItsOwn) {
    EXPECT_EQ(start_of_comments(""), 0u);
    EXPECT_EQ(start_of_comments("  "), 2u);
    EXPECT_EQ(start_of_comments("/* a */ "), 0u);
    EXPECT_EQ(start_of_comments("SELECT 1;/* a */\n/*b*/ "), 9u);
    EXPECT_EQ(start_of_comments("SELECT 1 /* a */; "), 18u);
    EXPECT_EQ(start_of_comments("/* a */ SELECT 1; -- */ "), 24u);
    EXPECT_EQ(start_of_comments("/*/ "), 4u);
    EXPECT_EQ(start_of_comments("*/"), 2u);
}

TEST(Traceparent, ReadsNothingBeyondAnyPrefix) {
    const std::string statement = "/*a*/UPDATE t SET a=1/*traceparent='" + good + "'*/";
    const size_t complete = statement.find(good) + good.size();
    for (size_t length = 0; length <= statement.size(); ++length) {
        const std::string prefix = statement.substr(0, length); // its own memory: the sanitizer sees what is beyond
        EXPECT_EQ(find_traceparent(prefix), length >= complete ? good : "") << length;
    }
}
