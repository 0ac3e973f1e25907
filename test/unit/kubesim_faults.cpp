// The faults of the simulator and the proxy: how they are described, whom they hit, what becomes of a watch's lines.
#include "test/kubesim/event_faults.hpp"
#include "test/kubesim/faults.hpp"

#include <gtest/gtest.h>

namespace kubesim {

namespace {

Request request_of(const std::string &method, const std::string &target) {
    Request out;
    EXPECT_TRUE(parse_target(target, out));
    out.method = method;
    return out;
}

const Request watch = request_of("GET", "/api/v1/nodes?watch=true&resourceVersion=5");

std::string event(const std::string &type, const std::string &name, int revision) {
    return R"({"type":")" + type + R"(","object":{"kind":"Node","metadata":{"name":")" + name + R"(","uid":"u-)" +
           name + R"(","resourceVersion":")" + std::to_string(revision) + "\"}}}\n";
}

// What the lines become, and how they end.
struct PassOutcome {
    std::vector<std::string> lines;
    std::optional<Ending> ending;
};

PassOutcome pass(EventFaults &faults, const std::vector<std::string> &lines) {
    PassOutcome out;
    for (const auto &line : lines) {
        auto result = faults.pass(line);
        if (!result) {
            out.lines.push_back(line);
            continue;
        }
        out.lines.insert(out.lines.end(), result->sent.begin(), result->sent.end());
        if (result->ending) {
            out.ending = result->ending;
            break;
        }
    }
    return out;
}

} // namespace

TEST(KubesimFaults, DescriptionsAreChecked) {
    const auto refuses = [](const char *description) {
        try {
            parse_fault(json::parse(description));
        } catch (const std::exception &error) {
            return std::string(error.what());
        }
        return std::string("accepted");
    };
    EXPECT_EQ(refuses(R"([])"), "a fault is a JSON object");
    EXPECT_EQ(refuses(R"({"acton": "hang"})"), "unknown member acton");
    EXPECT_EQ(refuses(R"({"action": "explode"})"), "unknown action explode");
    EXPECT_EQ(refuses(R"({"action": "truncate", "bytes": 1, "how": "softly"})"), "unknown way to end softly");
    EXPECT_EQ(refuses(R"({"action": "truncate"})"), "a truncated answer needs bytes");
    EXPECT_EQ(refuses(R"({"action": "slow"})"), "a slow answer needs bytes_per_second");
    EXPECT_EQ(refuses(R"({"match": "x"})"), "match is for events");
    EXPECT_NE(refuses(R"({"path": "("})"), "accepted");
    EXPECT_NE(refuses(R"({"status": "x"})"), "accepted");
    const Fault fault =
        parse_fault(json::parse(R"({"status": 429, "body": {"a": 1}, "headers": {"Retry-After": "1"}})"));
    EXPECT_EQ(fault.response.status, 429);
    EXPECT_EQ(fault.response.body, R"({"a":1})");
    EXPECT_EQ(fault.count, 1);
}

TEST(KubesimFaults, TheFirstThatFitsIsUsedUp) {
    Faults faults;
    faults.add({{"method", "PATCH"}, {"path", "nodes/a\\b"}, {"status", 500}, {"skip", 1}, {"count", 2}});
    faults.add({{"path", "nodes"}, {"status", 503}, {"count", -1}, {"watch", false}});
    EXPECT_EQ(faults.take(request_of("PATCH", "/api/v1/nodes/a"))->response.status, 503) << "let pass by the first";
    EXPECT_EQ(faults.take(request_of("PATCH", "/api/v1/nodes/b"))->response.status, 503);
    for (int status : {500, 500, 503})
        EXPECT_EQ(faults.take(request_of("PATCH", "/api/v1/nodes/a?force=true"))->response.status, status);
    EXPECT_FALSE(faults.take(watch));
    EXPECT_FALSE(faults.take(request_of("GET", "/api/v1/pods")));
    EXPECT_EQ(faults.hits, 5u);
    EXPECT_EQ(faults.count(), 1u);
}

TEST(KubesimFaults, ChanceRepeatsItself) {
    const auto drawn = [] {
        Faults faults;
        faults.add({{"probability", 0.3}, {"seed", 11}, {"count", -1}});
        std::string out;
        for (int i = 0; i < 200; i++)
            out += faults.take(watch) ? 'x' : '.';
        return out;
    };
    const std::string first = drawn();
    EXPECT_EQ(first, drawn());
    const auto hits = std::count(first.begin(), first.end(), 'x');
    EXPECT_GT(hits, 30);
    EXPECT_LT(hits, 90);
}

TEST(KubesimFaults, EventsAreDroppedAndDoubled) {
    Faults faults;
    faults.add({{"action", "drop_event"}, {"match", "\"name\":\"a\""}});
    faults.add({{"action", "duplicate_event"}, {"skip", 1}});
    EventFaults events(faults, watch);
    const auto a = event("ADDED", "a", 6), b = event("ADDED", "b", 7), c = event("DELETED", "c", 8);
    const auto mark = event("BOOKMARK", "", 9);
    EXPECT_EQ(pass(events, {mark, b, a, mark, c, a}).lines, (std::vector<std::string>{mark, b, mark, c, c, a}));
    EXPECT_FALSE(faults.take(watch)) << "faults of events are none of requests";
}

TEST(KubesimFaults, AnOlderEventComesAgain) {
    Faults faults;
    faults.add({{"action", "stale_event"}, {"path", "nodes"}});
    EventFaults events(faults, watch);
    const auto a1 = event("ADDED", "a", 6), b = event("ADDED", "b", 7), a2 = event("MODIFIED", "a", 8);
    EXPECT_EQ(pass(events, {a1, b, a2, a1}).lines, (std::vector<std::string>{a1, b, a2, a1, a1}));
}

TEST(KubesimFaults, WatchesEnd) {
    const auto a = event("ADDED", "a", 6), b = event("ADDED", "b", 7);
    const auto outcome = [&](const json &fault) {
        Faults faults;
        faults.add(fault);
        EventFaults events(faults, watch);
        return pass(events, {a, b});
    };
    auto cut = outcome({{"action", "cut_event"}, {"bytes", 5}, {"how", "reset"}, {"skip", 1}});
    EXPECT_EQ(cut.lines, (std::vector<std::string>{a, b.substr(0, 5)}));
    EXPECT_EQ(cut.ending, Ending::reset);
    cut = outcome({{"action", "cut_event"}});
    EXPECT_EQ(cut.lines, (std::vector<std::string>{a.substr(0, a.size() / 2)}));
    EXPECT_EQ(cut.ending, Ending::close);
    EXPECT_EQ(outcome({{"action", "cut_event"}, {"bytes", 1000000}, {"how", "hang"}}).lines[0], a);
    const auto error = outcome({{"action", "error_event"}, {"body", {{"code", 410}}}});
    EXPECT_EQ(error.lines, (std::vector<std::string>{"{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n"}));
    EXPECT_EQ(error.ending, Ending::clean);
    EXPECT_EQ(outcome({{"action", "end_event"}}).lines, std::vector<std::string>());
}

TEST(KubesimFaults, RevisionsOfTheFuture) {
    EXPECT_EQ(
        shifted_revision(
            R"({"kind":"L","metadata":{"resourceVersion":"9","continue":""},"items":[{"metadata":{"resourceVersion":"5"}}]})",
            2),
        R"({"kind":"L","metadata":{"resourceVersion":"11","continue":""},"items":[{"metadata":{"resourceVersion":"5"}}]})");
    for (const char *odd : {"", "x", "[]", R"({"metadata":5})", R"({"metadata":{"resourceVersion":"x"}})",
                            R"({"metadata":{"resourceVersion":7}})"})
        EXPECT_EQ(shifted_revision(odd, 2), odd);
    Faults faults;
    faults.add({{"action", "future_revision"}, {"by", 100}});
    EXPECT_FALSE(faults.take(watch)) << "of a watch it is the bookmarks";
    EventFaults events(faults, watch);
    const auto a = event("ADDED", "a", 6);
    EXPECT_EQ(pass(events, {a, event("BOOKMARK", "", 7), event("BOOKMARK", "", 8)}).lines,
              (std::vector<std::string>{a, event("BOOKMARK", "", 107), event("BOOKMARK", "", 8)}));
}

} // namespace kubesim
