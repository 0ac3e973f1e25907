// Events: as they are written, how they are counted, and that no object is told of without end.
#include "bgworker/actuation/event_series.hpp"
#include "kubernetes/object_event.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::bgworker;
using dbnet::kubernetes::ObjectEvent;
using nlohmann::json;

namespace {

class EventSeriesTest : public testing::Test {
protected:
    EventSeries series{3};
    int64_t now_ms = 1'000'000;
    int64_t at_us = 0; // the first happens at 1, the next at 2, …

    static std::string text(const EventSeries::Telling &telling) {
        using What = EventSeries::Telling::What;
        switch (telling.what) {
        case What::begin:
            return (telling.is_combined ? "combined " : "begin ") + std::to_string(telling.event);
        case What::count:
            return "count " + std::to_string(telling.event) + " " + std::to_string(telling.count) + " until " +
                   std::to_string(telling.last_us);
        case What::later:
            return "later";
        case What::too_much:
            return "too much";
        }
        return {};
    }
    std::string happens(const std::string &note, const std::string &object = "a",
                        const std::string &reason = "Refused") {
        return text(series.happens(object, reason, note, ++at_us, now_ms));
    }
    std::string written(int64_t event, const std::string &object = "a") {
        const auto more = series.written(object, event, now_ms);
        return more ? text(*more) : "";
    }
};

ObjectEvent event_of(const char *name) {
    ObjectEvent event;
    event.resource = {"apps", "v1", "Deployment", "deployments", true};
    event.name_space = "shop";
    event.name = name;
    event.uid = "u-1";
    event.is_warning = true;
    event.reason = "Refused";
    event.action = "Apply";
    event.note = "the server's words";
    event.instance = "db1_5f";
    event.at_us = 1'764'000'000'123'456;
    return event;
}

} // namespace

TEST_F(EventSeriesTest, WhatHappensAgainIsCounted) {
    EXPECT_EQ(happens("no"), "begin 1");
    EXPECT_EQ(happens("no"), "later") << "whether the Event is there is not known yet";
    EXPECT_EQ(happens("no"), "later");
    EXPECT_EQ(written(1), "count 1 3 until 3") << "what happened meanwhile";
    EXPECT_EQ(written(1), "") << "that was all";
    EXPECT_EQ(happens("no"), "count 1 4 until 4");
    EXPECT_EQ(happens("no", "a", "Held"), "begin 5") << "another reason";
    EXPECT_EQ(happens("no", "b"), "begin 6") << "another object";
    now_ms += 600'000;
    EXPECT_EQ(happens("no"), "begin 7") << "after ten quiet minutes it is told anew";
}

TEST_F(EventSeriesTest, WhatIsNotThereIsToldAnew) {
    EXPECT_EQ(happens("no"), "begin 1");
    series.lost("a", 1);
    EXPECT_EQ(written(1), "");
    EXPECT_EQ(happens("no"), "begin 2");
    series.lost("unknown", 2);
    EXPECT_EQ(happens("no"), "later");
}

TEST_F(EventSeriesTest, ManyNotesOfOneReasonBecomeOne) {
    for (int i = 1; i <= 10; i++)
        EXPECT_EQ(happens("n" + std::to_string(i)), "begin " + std::to_string(i));
    EXPECT_EQ(happens("n11"), "combined 11");
    EXPECT_EQ(written(11), "");
    EXPECT_EQ(happens("n12"), "count 11 2 until 12");
    EXPECT_EQ(written(1), "");
    EXPECT_EQ(happens("n1"), "count 1 2 until 13") << "those that have one keep it";
}

TEST_F(EventSeriesTest, TwentyFiveAtOnceAndThenOneInFiveMinutes) {
    EXPECT_EQ(happens("no"), "begin 1");
    EXPECT_EQ(written(1), "");
    for (int i = 2; i <= 25; i++)
        EXPECT_EQ(happens("no"), "count 1 " + std::to_string(i) + " until " + std::to_string(i));
    EXPECT_EQ(happens("no"), "too much");
    EXPECT_EQ(happens("other"), "too much") << "whatever it is";
    EXPECT_EQ(happens("no", "b"), "begin 28") << "others have their own";
    now_ms += 299'999;
    EXPECT_EQ(happens("no"), "too much");
    now_ms += 1;
    EXPECT_EQ(happens("no"), "count 1 28 until 30") << "with all that were not told";
    EXPECT_EQ(happens("no"), "too much");
    now_ms += 25 * 300'000;
    int told = 0;
    for (; told < 100 && happens("later") != "too much"; told++)
        written(at_us - told);
    EXPECT_EQ(told, 25) << "never more at once, however long it was quiet";
}

TEST_F(EventSeriesTest, KnowsSoManyObjectsOnly) {
    for (const char *object : {"a", "b", "c"})
        happens("no", object);
    now_ms += 1;
    happens("no", "a");
    now_ms += 1;
    EXPECT_EQ(happens("no", "d"), "begin 5");
    EXPECT_EQ(series.size(), 3u);
    EXPECT_EQ(happens("no", "a"), "later") << "those that were told of lately stay";
}

TEST_F(EventSeriesTest, ForgetsWhatIsAsIfNeverTold) {
    EventSeries many(1'000'000);
    const auto tell = [&](int from, int to) {
        for (int object = from; object < to; object++)
            many.happens(std::to_string(object), "Changed", "no", ++at_us, now_ms);
    };
    tell(0, 1000);
    for (int i = 0; i < 3; i++) // four of 25: their series are over in 10 minutes, the bucket is full in 20
        many.written("0", 1, now_ms), many.happens("0", "Changed", "no", ++at_us, now_ms);
    EXPECT_EQ(many.size(), 1000u);
    now_ms += 600'000;
    tell(1000, 3000);
    EXPECT_EQ(many.size(), 2001u) << "one of the first thousand is known still";
    now_ms += 600'000;
    tell(3000, 6000);
    EXPECT_EQ(many.size(), 3000u);
}

TEST(KubernetesObjectEvent, Create) {
    const auto request = create_object_event_request(event_of("web"));
    EXPECT_EQ(request.method + ' ' + request.path, "POST /apis/events.k8s.io/v1/namespaces/shop/events");
    EXPECT_EQ(request.timeout.count(), 5) << "nobody waits long for it";
    EXPECT_EQ(json::parse(request.body), json::parse(R"({"apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "web.6445941642240", "namespace": "shop"}, "eventTime": "2025-11-24T16:00:00.123456Z",
        "reportingController": "dbnet.io/mirror-worker", "reportingInstance": "db1_5f", "type": "Warning",
        "reason": "Refused", "action": "Apply", "note": "the server's words",
        "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "u-1"}})"));
}

TEST(KubernetesObjectEvent, OfWhatIsInNoNamespace) {
    ObjectEvent event = event_of("system:node");
    event.resource = {"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false};
    event.name_space = "";
    event.uid = "";
    event.is_warning = false;
    event.instance = std::string(200, 'h');
    const auto request = create_object_event_request(event);
    EXPECT_EQ(request.path, "/apis/events.k8s.io/v1/namespaces/default/events");
    const json body = json::parse(request.body);
    EXPECT_EQ(body["metadata"]["name"].get<std::string>().substr(0, 6), "dbnet.") << "it is no name of an Event";
    EXPECT_EQ(
        body["regarding"],
        json::parse(R"({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "system:node"})"));
    EXPECT_EQ(body["type"], "Normal");
    EXPECT_EQ(body["reportingInstance"], std::string(128, 'h'));
}

TEST(KubernetesObjectEvent, Series) {
    const auto request = object_event_series_request(event_of("web"), 4, 1'764'000'001'000'001);
    EXPECT_EQ(request.method + ' ' + request.path,
              "PATCH /apis/events.k8s.io/v1/namespaces/shop/events/web.6445941642240");
    EXPECT_EQ(request.content_type, "application/merge-patch+json");
    EXPECT_EQ(request.body, R"({"series":{"count":4,"lastObservedTime":"2025-11-24T16:00:01.000001Z"}})");
}

TEST(KubernetesObjectEvent, Texts) {
    using dbnet::kubernetes::object_event_note;
    EXPECT_EQ(object_event_note(std::string(1024, 'a')), std::string(1024, 'a'));
    EXPECT_EQ(object_event_note(std::string(1025, 'a')), std::string(1021, 'a') + "...");
    std::string text = "a";
    for (int i = 0; i < 600; i++)
        text += "ä";
    EXPECT_EQ(object_event_note(text), text.substr(0, 1021) + "...") << "1 + 2 * 510";
    EXPECT_EQ(object_event_note('b' + text), 'b' + text.substr(0, 1019) + "...") << "never half a character";
    for (const char *name : {"a..b", "-a", "a-", "A", "a_b", "a.-b", ""})
        EXPECT_EQ(object_event_name(event_of(name)).substr(0, 6), "dbnet.") << name;
    for (const char *name : {"a", "a.b", "a-b.c", "0"})
        EXPECT_EQ(object_event_name(event_of(name)), std::string(name) + ".6445941642240");
    EXPECT_EQ(object_event_name(event_of(std::string(236, 'a').c_str())).substr(0, 237), std::string(236, 'a') + '.');
    EXPECT_EQ(object_event_name(event_of(std::string(237, 'a').c_str())).substr(0, 6), "dbnet.");
}
