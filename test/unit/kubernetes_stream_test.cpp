// What a server sends of its own accord: watch lines and events, list pages, discovery documents.
#include "kubernetes/failure.hpp"
#include "kubernetes/list.hpp"
#include "kubernetes/schema/discovery.hpp"
#include "kubernetes/watch.hpp"

#include <gtest/gtest.h>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

std::vector<std::string> lines_of(LineSplitter &splitter) {
    std::vector<std::string> lines;
    std::string_view line;
    while (splitter.next(line))
        lines.emplace_back(line);
    return lines;
}

} // namespace

TEST(KubernetesLineSplitter, CutsHoweverTheBytesArrive) {
    const std::string bytes = "one\ntwo\r\n\n\nthree\nfour";
    const std::vector<std::string> expected = {"one", "two", "three"};
    for (size_t step = 1; step <= bytes.size(); ++step) {
        LineSplitter splitter(100);
        std::vector<std::string> lines;
        for (size_t at = 0; at < bytes.size(); at += step) {
            ASSERT_TRUE(splitter.push(std::string_view(bytes).substr(at, step)));
            for (std::string &line : lines_of(splitter))
                lines.push_back(std::move(line));
        }
        EXPECT_EQ(lines, expected) << step;
        EXPECT_EQ(splitter.partial(), 4u);
        EXPECT_EQ(splitter.buffered(), 4u);
    }
}

TEST(KubernetesLineSplitter, TakesLongLinesUpToTheLimit) {
    const std::string line(3'000'000, 'x');
    LineSplitter splitter(line.size());
    for (size_t at = 0; at < line.size(); at += 16'000)
        ASSERT_TRUE(splitter.push(std::string_view(line).substr(at, 16'000)));
    ASSERT_TRUE(splitter.push("\nnext\n"));
    EXPECT_EQ(lines_of(splitter), (std::vector<std::string>{line, "next"}));
    EXPECT_TRUE(splitter.push(line));
    EXPECT_FALSE(splitter.push("x"));
    EXPECT_TRUE(splitter.overflowed());
    EXPECT_FALSE(splitter.push("\n"));
}

TEST(KubernetesLineSplitter, KeepsUnreadLinesWhileMoreArrive) {
    LineSplitter splitter(10);
    std::string_view line;
    ASSERT_TRUE(splitter.push("a\nb\nc\nd\ne\n"));
    ASSERT_TRUE(splitter.next(line));
    EXPECT_EQ(line, "a");
    for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(splitter.next(line));
    ASSERT_TRUE(splitter.push("f")); // moves what was read out of the buffer
    EXPECT_TRUE(splitter.has_line());
    ASSERT_TRUE(splitter.push("g\n"));
    EXPECT_EQ(lines_of(splitter), (std::vector<std::string>{"e", "fg"}));
    EXPECT_FALSE(splitter.has_line());
}

TEST(KubernetesEvent, EveryType) {
    const Event added =
        parse_event(R"({"type":"ADDED","object":{"kind":"Node","metadata":{"name":"n","resourceVersion":"7"}}})");
    EXPECT_EQ(added.type, Event::Type::added);
    EXPECT_EQ(added.resource_version, "7");
    EXPECT_EQ(added.object["metadata"]["name"], "n");
    EXPECT_EQ(parse_event(R"({"type":"MODIFIED","object":{"metadata":{"resourceVersion":"8"}}})").type,
              Event::Type::modified);
    EXPECT_EQ(parse_event(R"({"type":"DELETED","object":{"metadata":{"resourceVersion":"9"}}})").type,
              Event::Type::removed);
    const Event bookmark =
        parse_event(R"({"type":"BOOKMARK","object":{"kind":"Node","metadata":{"resourceVersion":"10"}}})");
    EXPECT_EQ(bookmark.type, Event::Type::bookmark);
    EXPECT_FALSE(bookmark.initial_events_end);
    EXPECT_TRUE(parse_event(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"10",
        "annotations":{"k8s.io/initial-events-end":"true"}}}})")
                    .initial_events_end);
}

TEST(KubernetesEvent, ErrorsAreClassified) {
    const Event event = parse_event(R"x({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},
        "status":"Failure","message":"too old resource version: 1 (7323)","reason":"Expired","code":410}})x");
    EXPECT_EQ(event.type, Event::Type::error);
    EXPECT_EQ(event.outcome.kind, Outcome::gone);
    EXPECT_EQ(event.outcome.message, "too old resource version: 1 (7323)");
}

TEST(KubernetesEvent, OtherLinesAreProtocolErrors) {
    for (const char *line :
         {"", "{", "[]", "1", "null", R"({"type":"ADDED"})", R"({"type":"ODD","object":{}})",
          R"({"type":1,"object":{}})", R"({"type":"ADDED","object":[]})", R"({"type":"ADDED","object":{}})",
          R"({"type":"ADDED","object":{"metadata":{"resourceVersion":7}}})",
          R"({"type":"ERROR","object":{"code":200}})"})
        EXPECT_THROW(parse_event(line), Failure) << line;
}

namespace {

struct ListPage {
    ListHead head;
    std::vector<json> items;
    size_t before_head = 0; // items that were seen before the head was known
};

ListPage read_list(std::string_view body, const Resource &resource, size_t step = 1'000'000) {
    ListReader reader;
    ListPage page;
    for (size_t at = 0; at < body.size(); at += step)
        reader.push(body.substr(at, step), [&](std::string_view item) {
            page.before_head += !reader.head();
            page.items.push_back(parse_item(item, resource));
        });
    page.head = reader.finish();
    return page;
}

const Resource deployments{"apps", "v1", "Deployment", "deployments", true};

} // namespace

TEST(KubernetesList, ReadsItemsHoweverTheBytesArrive) {
    // A comma, brackets and quotes inside of strings; "items" as a member of something else.
    const std::string items = R"({"metadata":{"name":"a","annotations":{"items":"[{]}\"\\"}}}, {"metadata":{"name":"b"},
        "spec":{"items":[{"x":[]},2]}})";
    const std::string metadata =
        R"("metadata":{"resourceVersion":"12050","items":[1],"continue":"abc","remainingItemCount":3})";
    for (const bool metadata_first : {true, false}) {
        const std::string body = metadata_first ? R"({"kind":"items",)" + metadata + ",\"items\":[" + items + "]}\n"
                                                : R"({"apiVersion":"v1", "items" : [)" + items + "]," + metadata + "}";
        for (size_t step = 1; step <= body.size(); ++step) {
            const ListPage page = read_list(body, deployments, step);
            EXPECT_EQ(page.head.resource_version, "12050");
            EXPECT_EQ(page.head.continue_token, "abc");
            EXPECT_EQ(page.head.remaining, 3);
            EXPECT_EQ(page.before_head, metadata_first ? 0u : 2u);
            ASSERT_EQ(page.items.size(), 2u) << step;
            EXPECT_EQ(page.items[0]["metadata"]["annotations"]["items"], "[{]}\"\\");
            EXPECT_EQ(page.items[1], json::parse(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"b"},
                "spec":{"items":[{"x":[]},2]}})"));
        }
    }
}

TEST(KubernetesList, EmptyPages) {
    for (const char *body :
         {R"({"metadata":{"resourceVersion":"1"},"items":[]})", R"({"metadata":{"resourceVersion":"1"},"items":null})",
          R"({"metadata":{"resourceVersion":"1"}})"}) {
        const ListPage page = read_list(body, deployments);
        EXPECT_TRUE(page.items.empty());
        EXPECT_EQ(page.head.continue_token, "");
        EXPECT_EQ(page.head.remaining, -1);
    }
}

TEST(KubernetesList, RefusesWhatIsNoList) {
    for (const char *body :
         {"", "[]", "{}", "{\"items\":[", R"({"kind":"Status"})",
          R"({"metadata":{"resourceVersion":"1"},"items":[{}]})", R"({"metadata":{"resourceVersion":"1"},"items":[1]})",
          R"({"metadata":{"resourceVersion":"1"},"items":{}})",
          R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}})",
          R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"}}])",
          R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"]}]})",
          R"({"metadata":{"resourceVersion":"1"},"items":[]}])"})
        EXPECT_THROW(read_list(body, deployments), Failure) << body;
}

TEST(KubernetesList, IsBounded) {
    ListReader reader({1000, 100});
    const auto ignore = [](std::string_view) {};
    EXPECT_THROW(reader.push(std::string(101, ' '), ignore), Failure);
    ListReader other({1000, 100});
    other.push(R"({"items":[{"x":")", ignore);
    EXPECT_THROW(other.push(std::string(1000, 'x'), ignore), Failure);
}

TEST(KubernetesDiscovery, OldForm) {
    Discovery discovery = parse_discovery(R"({"kind":"APIVersions","versions":["v1"]})");
    ASSERT_EQ(discovery.pending.size(), 1u);
    EXPECT_EQ(discovery.pending[0].path(), "/api/v1");
    discovery.merge(parse_discovery(R"({"kind":"APIGroupList","groups":[{"name":"autoscaling","versions":[
        {"groupVersion":"autoscaling/v2","version":"v2"},{"groupVersion":"autoscaling/v1","version":"v1"}],
        "preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}}]})"));
    ASSERT_EQ(discovery.pending.size(), 3u);
    EXPECT_EQ(discovery.pending[1].path(), "/apis/autoscaling/v2");
    EXPECT_TRUE(discovery.pending[1].preferred);
    EXPECT_FALSE(discovery.pending[2].preferred);
    discovery.merge(parse_discovery(R"({"kind":"APIResourceList","groupVersion":"apps/v1","resources":[
        {"name":"deployments/scale","kind":"Scale","namespaced":true,"verbs":["get"]},
        {"name":"deployments","singularName":"deployment","kind":"Deployment","namespaced":true,"shortNames":["deploy"],
         "verbs":["get","patch"],"categories":["all"]},
        {"name":"deployments/status","kind":"Deployment","namespaced":true,"verbs":["get"]}]})"));
    const DiscoveredKind *kind = find_kind(discovery, "apps/v1", "Deployment");
    ASSERT_NE(kind, nullptr);
    EXPECT_EQ(kind->resource, (Resource{"apps", "v1", "Deployment", "deployments", true}));
    EXPECT_EQ(kind->singular, "deployment");
    EXPECT_TRUE(kind->can("patch"));
    EXPECT_FALSE(kind->can("watch"));
    EXPECT_TRUE(kind->has_subresource("scale"));
    EXPECT_TRUE(kind->has_subresource("status"));
    EXPECT_EQ(discovery.kinds.size(), 1u);
    EXPECT_EQ(find_kind(discovery, "apps/v1", "Scale"), nullptr);
    EXPECT_EQ(find_kind(discovery, "v1", "Deployment"), nullptr);
}

TEST(KubernetesDiscovery, AggregatedForm) {
    const Discovery discovery =
        parse_discovery(R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[
        {"metadata":{"name":"apps"},"versions":[{"version":"v1","freshness":"Current","resources":[
            {"resource":"deployments","responseKind":{"group":"apps","version":"v1","kind":"Deployment"},"scope":"Namespaced",
             "singularResource":"deployment","verbs":["get","list","watch"],"shortNames":["deploy"],"categories":["all"],
             "subresources":[{"subresource":"scale","responseKind":{"kind":"Scale"},"verbs":["get"]}]}]}]},
        {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"},{"version":"v1alpha1",
            "freshness":"Stale","resources":[{"resource":"old","responseKind":{"kind":"Old"},"scope":"Cluster"}]}]}]})");
    const DiscoveredKind *kind = find_kind(discovery, "apps/v1", "Deployment");
    ASSERT_NE(kind, nullptr);
    EXPECT_TRUE(kind->resource.namespaced);
    EXPECT_TRUE(kind->can("watch"));
    EXPECT_TRUE(kind->has_subresource("scale"));
    EXPECT_EQ(discovery.kinds.size(), 1u);
    ASSERT_EQ(discovery.pending.size(), 2u);
    EXPECT_EQ(discovery.pending[0].path(), "/apis/metrics.k8s.io/v1beta1");
    ASSERT_EQ(discovery.group_versions.size(), 3u);
    EXPECT_TRUE(discovery.group_versions[1].preferred);
    EXPECT_FALSE(discovery.group_versions[2].preferred);
}

TEST(KubernetesDiscovery, OtherAnswersAreRefused) {
    for (const char *body : {"", "404 page not found", "[]", "{}", R"({"kind":"Status"})", R"({"kind":5})",
                             R"({"kind":"APIResourceList","groupVersion":"a/b/c"})"})
        EXPECT_THROW(parse_discovery(body), Failure) << body;
    EXPECT_TRUE(parse_discovery(R"({"kind":"APIGroupList","groups":[1,{"name":"x"}]})").pending.empty());
    EXPECT_NE(discovery_request("/apis").accept.find("v2beta1"), std::string::npos);
    EXPECT_EQ(discovery_request("/apis/apps/v1").accept, "application/json");
}
