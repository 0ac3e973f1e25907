// How many requests a server is given at a time.
#include "bgworker/actuation/request_window.hpp"

#include <gtest/gtest.h>

using dbnet::bgworker::RequestWindow;

namespace {

// A server that works on `seats` requests at a time, each for `service_ms`: what is more waits in line.
double latency_of(size_t in_flight, double seats, double service_ms) {
    return service_ms * std::max(1.0, static_cast<double>(in_flight) / seats);
}

size_t settled_window(double seats, double service_ms, double most) {
    RequestWindow window;
    window.on_answer(service_ms, most); // alone
    for (int i = 0; i < 10'000; i++)
        window.on_answer(latency_of(window.size(most), seats, service_ms), most);
    return window.size(most);
}

} // namespace

TEST(RequestWindow, IsTheSettingWhereAnswersAreQuick) {
    EXPECT_EQ(RequestWindow().size(64), 64);
    EXPECT_EQ(settled_window(2, 5, 64), 64) << "160 ms each";
    EXPECT_EQ(settled_window(100, 1500, 64), 64) << "far away, but nothing waits";
}

TEST(RequestWindow, ShrinksUntilAnAnswerTakesASecond) {
    EXPECT_NEAR(settled_window(2, 100, 64), 20, 1);
    EXPECT_NEAR(settled_window(1, 200, 64), 5, 1);
    EXPECT_NEAR(settled_window(1, 900, 64), 4, 1) << "four times the time of one alone";
}

TEST(RequestWindow, HalvesWhenTheServerRefusesAndGrowsAgain) {
    RequestWindow window;
    window.on_overload(64);
    EXPECT_EQ(window.size(64), 32);
    for (int i = 0; i < 10; i++)
        window.on_overload(64);
    EXPECT_EQ(window.size(64), 1);
    for (int i = 0; i < 10'000; i++)
        window.on_answer(5, 64);
    EXPECT_EQ(window.size(64), 64);
    EXPECT_EQ(window.size(16), 16) << "the setting was lowered";
}
