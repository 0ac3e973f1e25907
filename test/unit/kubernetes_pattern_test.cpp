// The expressions of schemas: the syntax that is in use, and that no text and no expression takes long.
#include "kubernetes/schema/pattern.hpp"

#include <gtest/gtest.h>

#include <string>

using dbnet::kubernetes::Pattern;

namespace {

bool matches(std::string_view expression, std::string_view text) {
    const auto pattern = Pattern::compile(expression);
    EXPECT_TRUE(pattern) << expression;
    return pattern && pattern->matches(text);
}

TEST(KubernetesPattern, Syntax) {
    EXPECT_TRUE(matches("b", "abc")); // anywhere
    EXPECT_FALSE(matches("^b", "abc"));
    EXPECT_FALSE(matches("b$", "abc"));
    EXPECT_TRUE(matches("^$", ""));
    EXPECT_TRUE(matches("^a|^b|c$", "xc"));
    EXPECT_FALSE(matches("^(a|b)c$", "xc"));
    EXPECT_TRUE(matches("^(?:ab)+$", "ababab"));
    EXPECT_FALSE(matches("^(?:ab)+$", "ababa"));
    EXPECT_TRUE(matches("^(?P<word>x)?y*?$", "yyy"));
    EXPECT_TRUE(matches("^a.c$", "a\xC3\xA9"
                                 "c")); // one character, two bytes
    EXPECT_FALSE(matches("^a.c$", "a\nc"));
    EXPECT_TRUE(matches("^[^a-c]+$", "xyz"));
    EXPECT_FALSE(matches("^[^a-c]+$", "xaz"));
    EXPECT_TRUE(matches("^[]a-]+$", "]-a"));
    EXPECT_TRUE(matches(R"(^[\w.\-]+$)", "a_b.c-9"));
    EXPECT_FALSE(matches(R"(^\d{1,3}(\.\d{1,3}){3}$)", "10.0.0"));
    EXPECT_TRUE(matches(R"(^\d{1,3}(\.\d{1,3}){3}$)", "10.0.0.255"));
    EXPECT_FALSE(matches("^a{2}$", "a"));
    EXPECT_TRUE(matches("^a{2,}$", "aaaa"));
    EXPECT_FALSE(matches("^a{2,3}$", "aaaa"));
    EXPECT_TRUE(matches("^a{,3}$", "a{,3}")); // no count: text
    EXPECT_TRUE(matches(R"(\bcat\b)", "a cat."));
    EXPECT_FALSE(matches(R"(\bcat\b)", "concat"));
    EXPECT_TRUE(matches(R"(^\x41\x{1F600}$)", "A\xF0\x9F\x98\x80"));
    EXPECT_TRUE(matches(R"(^\D\S\W$)", "ab!"));
    EXPECT_TRUE(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "edge-7"));
    EXPECT_FALSE(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "edge-"));
}

TEST(KubernetesPattern, WhatIsNotKnownIsNotGuessed) {
    for (const char *expression : {"(?i)a", R"(\pL)", "[[:alpha:]]", "(", ")", "a)", "[a", "a**", "*a", R"(a\)",
                                   "[b-a]", "a{1001}", "a{3,2}", R"(\x{110000000})", "(((((((((("})
        EXPECT_FALSE(Pattern::compile(expression)) << expression;
}

// Backtracking would take longer than the universe has been there.
TEST(KubernetesPattern, TakesTimeByLengthAlone) {
    EXPECT_FALSE(matches("^(a+)+$", std::string(5000, 'a') + "b"));
    EXPECT_FALSE(matches("^(a|aa)*b$", std::string(5000, 'a')));
    EXPECT_FALSE(Pattern::compile("((a{100}){100}){100}"));
    EXPECT_FALSE(Pattern::compile("((((){1000}){1000}){1000}){1000}"));
    EXPECT_FALSE(Pattern::compile(std::string(1000, '(')));
    EXPECT_TRUE(matches("^(a|b|c|d){300}$", std::string(1 << 20, 'z'))); // left to the server
}

TEST(KubernetesPattern, BrokenTextMatchesNothingItIsNot) {
    EXPECT_FALSE(matches("^[a-z]+$", "abc\xC3"));
    EXPECT_FALSE(matches("^[a-z]+$", "\x80\xFF"));
    EXPECT_TRUE(matches("^[^a-z]+$", "\xFF"));
}

} // namespace
