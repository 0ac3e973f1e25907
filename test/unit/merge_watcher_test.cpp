// One mirror's conversation with a scripted server: lists that are read while they arrive.
#include "bgworker/watch/watcher_mirror.hpp"
#include "test/unit/kubernetes_server.hpp"
#include "test/unit/merge_support.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <set>

#include "pg/no_postgres.hpp"

namespace {

using namespace dbnet;
using namespace dbnet::bgworker;
using test::Exchange;
using test::Server;

std::string node(int number, const std::string &more = "") {
    return R"({"metadata":{"name":"n)" + std::to_string(number) + R"(","uid":"u)" + std::to_string(number) +
           R"(","resourceVersion":")" + std::to_string(number) + "\"" + more + "}}";
}

std::string nodes(int first, int last, const std::string &more = "") {
    std::string text;
    for (int number = first; number <= last; ++number)
        text += (number == first ? "" : ",") + node(number, more);
    return text;
}

std::string metadata(const std::string &version, const std::string &token = "") {
    return R"("metadata":{"resourceVersion":")" + version + R"(","continue":")" + token + "\"}";
}

// Core kinds have their metadata before the items, custom resources after them.
std::string page(const std::string &head, const std::string &items, bool head_first = true) {
    const std::string list = "\"items\":[" + items + "]";
    return "{" + (head_first ? head + "," + list : list + "," + head) + "}";
}

class MirrorWatchTest : public testing::Test {
protected:
    static void SetUpTestSuite() { kubernetes::initialize_transport(); }

    void begin(Server::Behaviour behaviour, const std::string &known_version = "") {
        server = std::make_unique<Server>(
            Server::Security::tls, [this, behaviour = std::move(behaviour)](Exchange &exchange) {
                if (exchange.target.find("/namespaces/kube-system?") == std::string::npos)
                    return behaviour(exchange);
                const int number = cluster;
                exchange.answer(number ? 200 : 403, R"({"metadata":{"uid":"c)" + std::to_string(number) + "\"}}");
            });
        auto connection = std::make_shared<kubernetes::Connection>();
        connection->api_url = server->url();
        connection->ca_pem = server->certificates().ca;
        auto mirror = std::make_shared<mirror::Mirror>(test::node_mirror());
        mirror->connection = connection;
        watch = std::make_unique<MirrorWatch>(mirror, transport, known_version);
    }

    // Runs until done(); what is queued stays there.
    template<class Done> void pump(Done done) {
        while (!done()) {
            watch->turn(monotonic_now());
            if (done())
                return;
            const Milliseconds due = watch->due();
            const int wait = due < 0 ? 20'000 : static_cast<int>(std::max<Milliseconds>(due - monotonic_now(), 0));
            pollfd descriptor{transport.descriptor(), POLLIN, 0};
            ASSERT_TRUE(poll(&descriptor, 1, std::min(wait, 20'000)) == 1 || due >= 0) << "nothing happens any more";
            transport.run();
        }
    }

    std::vector<QueuedEvent> take(size_t limit = SIZE_MAX) {
        return watch->queue().take(limit, [](const mirror::Key &) { return false; });
    }

    static std::string parameter(const Exchange &exchange, const std::string &name) {
        const size_t at = exchange.target.find(name + "=");
        return at == std::string::npos
                   ? ""
                   : exchange.target.substr(at + name.size() + 1, exchange.target.find('&', at) - at - name.size() - 1);
    }

    // Watches hang.
    static bool is_watch(Exchange &exchange) {
        if (exchange.target.find("watch=true") == std::string::npos)
            return false;
        exchange.begin_stream();
        exchange.wait_closed();
        return true;
    }

    std::atomic<int> cluster{0}; // 0: it may not be asked for
    kubernetes::Transport transport;
    std::unique_ptr<Server> server;
    std::unique_ptr<MirrorWatch> watch;
};

TEST_F(MirrorWatchTest, ObjectsAreQueuedBeforeTheirPageIsWhole) {
    std::atomic<bool> go_on{false};
    begin([&](Exchange &exchange) {
        if (is_watch(exchange))
            return;
        const std::string whole = page(metadata("100"), nodes(1, 20));
        exchange.begin_stream();
        exchange.chunk(std::string_view(whole).substr(0, whole.size() / 2));
        while (!go_on)
            std::this_thread::yield();
        exchange.chunk(std::string_view(whole).substr(whole.size() / 2));
        exchange.end_stream();
    });
    pump([&] { return watch->queue().size() >= 8; });
    EXPECT_LT(watch->queue().size(), 12u);
    EXPECT_EQ(watch->reflector().listed(), static_cast<int64_t>(watch->queue().size()));
    EXPECT_FALSE(watch->has_complete_list());
    go_on = true;
    pump([&] { return watch->has_complete_list(); });
    EXPECT_EQ(watch->queue().size(), 20u);
    EXPECT_EQ(watch->reflector().listed(), 20);
}

TEST_F(MirrorWatchTest, AFullQueueStopsTheReading) {
    constexpr int count = 10'000, at_once = 100;
    const std::string note = R"(,"annotations":{"note":")" + std::string(1000, 'x') + "\"}";
    std::atomic<int> sent{0};
    begin([&](Exchange &exchange) {
        if (is_watch(exchange))
            return;
        exchange.begin_stream();
        exchange.chunk("{" + metadata("100000") + ",\"items\":[");
        while (sent < count && exchange.chunk((sent > 0 ? "," : "") + nodes(sent + 1, sent + at_once, note)))
            sent += at_once;
        exchange.chunk("]}");
        exchange.end_stream();
    });
    size_t most = 0, taken = 0;
    pump([&] {
        most = std::max(most, watch->queue().size());
        if (watch->queue().is_full() || watch->has_complete_list())
            taken += take().size();
        return taken == count;
    });
    EXPECT_GT(most, 1999u);
    EXPECT_LT(most, 6000u) << "a full queue and what had been read already";
    EXPECT_EQ(watch->reflector().listed(), count);
}

TEST_F(MirrorWatchTest, APageThatBreaksOffIsAskedForAgain) {
    std::atomic<int> second_page{0};
    std::atomic<bool> is_seen{false};
    begin([&](Exchange &exchange) {
        if (is_watch(exchange))
            return;
        if (parameter(exchange, "continue").empty())
            return exchange.answer(200, page(metadata("100", "t"), nodes(1, 10)));
        const std::string whole = page(metadata("100"), nodes(11, 20));
        if (++second_page > 1)
            return exchange.answer(200, whole);
        exchange.begin_stream();
        exchange.chunk(std::string_view(whole).substr(0, whole.size() / 2));
        while (!is_seen)
            std::this_thread::yield();
        exchange.close();
    });
    pump([&] { return watch->queue().size() > 10; });
    is_seen = true;
    pump([&] { return watch->reflector().failures() > 0; });
    EXPECT_EQ(watch->reflector().state(), Reflector::State::degraded);
    watch->hurry();
    pump([&] { return watch->has_complete_list(); });
    EXPECT_EQ(second_page, 2);
    EXPECT_EQ(watch->reflector().listed(), 20) << "what came twice counts once";
    EXPECT_EQ(watch->queue().size(), 20u);
}

TEST_F(MirrorWatchTest, APageOfAnotherSnapshotBeginsTheListAnew) {
    for (const bool head_first : {true, false}) {
        std::atomic<int> lists{0};
        begin([&](Exchange &exchange) {
            if (is_watch(exchange))
                return;
            if (parameter(exchange, "continue").empty())
                return exchange.answer(200, page(metadata(++lists > 1 ? "200" : "100", "t"), nodes(1, 10), head_first));
            exchange.answer(200, page(metadata("200"), nodes(11, 20), head_first));
        });
        pump([&] { return watch->has_complete_list(); });
        EXPECT_EQ(lists, 2);
        EXPECT_EQ(watch->reflector().list_version(), "200");
        EXPECT_EQ(watch->reflector().listed(), 20);
        watch.reset();
    }
}

TEST_F(MirrorWatchTest, ObjectsKnowTheVersionOfTheirListWhereverItStands) {
    for (const bool head_first : {true, false}) {
        std::atomic<int> lists{0};
        begin([&](Exchange &exchange) {
            if (!is_watch(exchange))
                exchange.answer(200, page(metadata(std::to_string(100 * ++lists)), nodes(1, 10), head_first));
        });
        pump([&] { return watch->has_complete_list(); });
        for (const QueuedEvent &event : take())
            EXPECT_TRUE(event.authoritative) << "the first list";
        watch->resync();
        pump([&] { return lists == 2 && watch->has_complete_list(); });
        const std::vector<QueuedEvent> events = take();
        EXPECT_EQ(events.size(), 10u);
        for (const QueuedEvent &event : events) {
            EXPECT_FALSE(event.authoritative);
            EXPECT_EQ(event.as_of, "200");
        }
        watch.reset();
    }
}

TEST_F(MirrorWatchTest, ObjectsOfARewoundStoreAreTakenAsTheyAreWhereverItsVersionStands) {
    for (const bool head_first : {true, false}) {
        std::atomic<int> lists{0};
        begin([&](Exchange &exchange) {
            if (!is_watch(exchange))
                exchange.answer(200, page(metadata(++lists > 1 ? "50" : "100"), nodes(1, 10), head_first));
        });
        pump([&] { return watch->has_complete_list(); });
        take();
        watch->resync();
        pump([&] { return lists == 2 && watch->has_complete_list(); });
        for (const QueuedEvent &event : take())
            EXPECT_TRUE(event.authoritative);
        watch.reset();
    }
}

TEST_F(MirrorWatchTest, AnotherClusterIsListedAnewAndTakenAsItIs) {
    std::atomic<int> lists{0};
    cluster = 1;
    begin([&](Exchange &exchange) {
        if (!is_watch(exchange))
            exchange.answer(200, page(metadata(std::to_string(100 * ++lists)), nodes(1, 10)));
    });
    pump([&] { return watch->has_complete_list() && !watch->cluster().empty(); });
    EXPECT_EQ(watch->cluster(), "c1");
    EXPECT_EQ(watch->take_former_cluster(), "") << "it is the first that is known";
    take();
    cluster = 2;
    watch->begin_stocktaking(); // asks for it again
    std::string former;
    pump([&] {
        former += watch->take_former_cluster();
        return !former.empty() && watch->has_complete_list() && watch->queue().size() == 10;
    });
    EXPECT_EQ(former, "c1");
    EXPECT_EQ(watch->cluster(), "c2");
    for (const QueuedEvent &event : take())
        EXPECT_TRUE(event.authoritative) << "whatever versions are recorded";
}

TEST_F(MirrorWatchTest, StockIsTakenOfVersionsPageByPageBesideTheWatch) {
    std::atomic<int> lists{0};
    begin([&](Exchange &exchange) {
        if (is_watch(exchange))
            return;
        if (exchange.header("accept").find("as=PartialObjectMetadataList;") == std::string::npos) {
            ++lists;
            return exchange.answer(200, page(metadata("100"), nodes(1, 3)));
        }
        EXPECT_EQ(parameter(exchange, "resourceVersion"), "") << "the store is asked, no cache";
        EXPECT_EQ(parameter(exchange, "limit"), "500");
        const bool is_first = parameter(exchange, "continue").empty();
        exchange.answer(200, is_first ? page(metadata("120", "t"), nodes(1, 2)) : page(metadata("120"), nodes(4, 4)));
    });
    pump([&] { return watch->reflector().is_watching(); });
    take();
    watch->begin_stocktaking();
    Stocktaking &stock = watch->stocktaking();
    pump([&] { return stock.state() == Stocktaking::State::page; });
    ASSERT_EQ(stock.page().size(), 2u);
    EXPECT_EQ(stock.page()[1].key.name, "n2");
    EXPECT_EQ(stock.page()[1].uid, "u2");
    EXPECT_EQ(stock.page()[1].resource_version, "2");
    EXPECT_EQ(stock.list_version(), "120");
    stock.next();
    pump([&] { return stock.state() == Stocktaking::State::page; });
    EXPECT_EQ(stock.page().size(), 1u);
    stock.next();
    EXPECT_EQ(stock.state(), Stocktaking::State::complete);
    EXPECT_TRUE(stock.is_listed({watch->mirror().relation, "", "n4"}));
    EXPECT_FALSE(stock.is_listed({watch->mirror().relation, "", "n3"}));
    EXPECT_TRUE(watch->reflector().is_watching());
    EXPECT_TRUE(watch->queue().empty());
    EXPECT_EQ(lists, 1);
}

TEST_F(MirrorWatchTest, WhatIsFoundByStocktakingIsARepairUnlessTheWatchHasToldOfIt) {
    std::atomic<bool> tells{false};
    begin([&](Exchange &exchange) {
        if (exchange.target.find("watch=true") != std::string::npos) {
            exchange.begin_stream();
            while (!tells)
                std::this_thread::yield();
            exchange.chunk(R"({"type":"MODIFIED","object":)" + node(2) + "}\n");
            return exchange.wait_closed();
        }
        if (exchange.target.find("/nodes/n1?") != std::string::npos)
            return exchange.answer(200, node(1));
        exchange.answer(200, page(metadata("100"), nodes(1, 3)));
    });
    pump([&] { return watch->reflector().is_watching(); });
    take();
    const mirror::Key found{watch->mirror().relation, "", "n1"}, told{watch->mirror().relation, "", "n2"};
    watch->look_up({told, "u2", "120"}, monotonic_now() + 3'600'000);
    tells = true;
    pump([&] { return watch->queue().contains(told); });
    EXPECT_FALSE(watch->looks_up(told)) << "the watch was late, not wrong";
    EXPECT_FALSE(take()[0].is_repair);
    watch->look_up({found, "u1", "120"});
    pump([&] { return watch->queue().contains(found); });
    const std::vector<QueuedEvent> events = take();
    EXPECT_TRUE(events[0].is_repair);
    EXPECT_EQ(events[0].as_of, "120");
}

// As after a change by a subresource, whose answer tells the object's version alone.
TEST_F(MirrorWatchTest, EventsOlderThanAnAwaitedVersionCountForNothing) {
    const auto told = std::make_shared<std::atomic<int>>(0); // of the server's thread, too, which outlives the test
    const auto version_of_n1 = [](int version) {
        return R"({"metadata":{"name":"n1","uid":"u1","resourceVersion":")" + std::to_string(version) + "\"}}";
    };
    const auto event = [](const char *type, const std::string &object) {
        return std::string(R"({"type":")") + type + R"(","object":)" + object + "}\n";
    };
    // Each time the object, and another one that tells that it has arrived.
    const std::vector<std::string> objects = {version_of_n1(201), version_of_n1(205), version_of_n1(210),
                                              version_of_n1(206), version_of_n1(220)};
    begin([=](Exchange &exchange) {
        if (exchange.target.find("watch=true") == std::string::npos)
            return exchange.answer(200, exchange.target.find("/nodes/n1?") == std::string::npos
                                            ? page(metadata("200"), nodes(1, 2))
                                            : version_of_n1(203));
        exchange.begin_stream();
        for (int sent = 0; sent < static_cast<int>(objects.size()); ++sent) {
            while (*told <= sent)
                std::this_thread::yield();
            exchange.chunk(event("MODIFIED", objects[static_cast<size_t>(sent)]));
            exchange.chunk(event("MODIFIED", node(2)));
        }
        exchange.wait_closed();
    });
    pump([&] { return watch->reflector().is_watching(); });
    const mirror::Key key{watch->mirror().relation, "", "n1"}, other{watch->mirror().relation, "", "n2"};
    watch->await_version(key, "210");
    EXPECT_EQ(take().size(), 2u) << "what a list has shown stays";
    const auto next = [&] { // version of n1 that the next pair of events leaves in the queue
        take();
        ++*told;
        pump([&] { return watch->queue().contains(other); });
        for (const QueuedEvent &queued : take())
            if (queued.key == key)
                return queued.resource_version;
        return std::string();
    };
    EXPECT_EQ(next(), "");
    watch->look_up({key, "u1", "204"});
    pump([&] { return watch->queue().contains(key); });
    EXPECT_EQ(take()[0].resource_version, "203") << "as what was asked for does";
    EXPECT_EQ(next(), "");
    EXPECT_EQ(next(), "210");
    EXPECT_EQ(next(), "206") << "it is awaited no more";

    watch->await_version(key, "230");
    watch->forget(key, "u0");
    EXPECT_EQ(next(), "220") << "another object of its name is not awaited";
}

TEST_F(MirrorWatchTest, WhatIsNoListDegradesTheMirror) {
    for (const char *body : {"<html>", "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[1]}", "{\"items\":[]}",
                             "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{}}]}"}) {
        begin([&](Exchange &exchange) { exchange.answer(200, body); });
        pump([&] { return watch->reflector().failures() > 0; });
        EXPECT_EQ(watch->reflector().state(), Reflector::State::degraded) << body;
        EXPECT_FALSE(watch->has_complete_list());
        watch.reset();
    }
}

} // namespace
