// The queue between watch and tables: newest event per object, bounded.
#include "bgworker/watch/watcher_queue.hpp"

#include <gtest/gtest.h>

using dbnet::bgworker::EventQueue;
using dbnet::bgworker::QueuedEvent;
using dbnet::mirror::Key;

namespace {

QueuedEvent queued(const std::string &name, const std::string &version, size_t bytes = 10) {
    QueuedEvent result;
    result.key = {7, "", name};
    result.resource_version = version;
    result.seen.live.assign(bytes, 'x');
    return result;
}

bool nobody(const Key &) {
    return false;
}

std::vector<std::string> versions(const std::vector<QueuedEvent> &events) {
    std::vector<std::string> result;
    for (const QueuedEvent &e : events)
        result.push_back(e.key.name + e.resource_version);
    return result;
}

TEST(EventQueue, KeepsTheNewestEventOfEachObjectInOrderOfArrival) {
    EventQueue queue;
    queue.push(queued("a", "1"));
    queue.push(queued("b", "2"));
    queue.push(queued("a", "3"));
    EXPECT_EQ(versions(queue.take(10, nobody)), (std::vector<std::string>{"a3", "b2"}));
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.bytes(), 0u);
}

TEST(EventQueue, HeldObjectsStayAndGoOnCoalescing) {
    EventQueue queue;
    queue.push(queued("a", "1"));
    queue.push(queued("b", "2"));
    auto a_is_held = [](const Key &key) { return key.name == "a"; };
    EXPECT_EQ(versions(queue.take(10, a_is_held)), std::vector<std::string>{"b2"});
    queue.push(queued("a", "5"));
    EXPECT_EQ(queue.size(), 1u);
    EXPECT_EQ(versions(queue.take(10, nobody)), std::vector<std::string>{"a5"});
}

TEST(EventQueue, DropsOnlyTheVersionThatIsRecorded) {
    EventQueue queue;
    queue.push(queued("a", "3"));
    queue.push(queued("b", "4"));
    QueuedEvent rewound = queued("c", "5");
    rewound.authoritative = true;
    queue.push(std::move(rewound));
    queue.push(dbnet::bgworker::removed_event({7, "", "d"}, "uid"));
    QueuedEvent listed = queued("e", "6");
    listed.as_of = "9";
    queue.push(std::move(listed));
    EXPECT_FALSE(queue.drop({7, "", "e"}, "6")) << "a list is asked for when rows may be missing";
    EXPECT_FALSE(queue.drop({7, "", "a"}, "2"));
    EXPECT_TRUE(queue.drop({7, "", "b"}, "4"));
    EXPECT_FALSE(queue.drop({7, "", "b"}, "4"));
    EXPECT_FALSE(queue.drop({7, "", "c"}, "5"));
    EXPECT_FALSE(queue.drop({7, "", "d"}, ""));
    EXPECT_EQ(versions(queue.take(10, nobody)), (std::vector<std::string>{"a3", "c5", "d", "e6"}));
    EXPECT_EQ(queue.bytes(), 0u);
}

TEST(EventQueue, DropsWhatIsOlderOfAWatchAlone) {
    EventQueue queue;
    for (const char *name : {"as it is", "listed", "rewound"}) {
        QueuedEvent event = queued(name, "9");
        event.as_of = name == std::string("listed") ? "9" : "";
        event.authoritative = name == std::string("rewound");
        queue.push(std::move(event));
    }
    queue.push(dbnet::bgworker::removed_event({7, "", "gone"}, "uid"));
    queue.push(queued("opaque", "a9"));
    const auto drop_all_older = [&](const char *version) {
        for (const char *name : {"as it is", "listed", "rewound", "gone", "opaque", "none"})
            queue.drop_older({7, "", name}, version);
        return queue.size();
    };
    EXPECT_EQ(drop_all_older("8"), 5u);
    EXPECT_EQ(drop_all_older("9"), 5u);
    EXPECT_EQ(drop_all_older("b1"), 5u) << "these do not order";
    EXPECT_EQ(drop_all_older("10"), 4u);
    EXPECT_EQ(versions(queue.take(10, nobody)), (std::vector<std::string>{"listed9", "rewound9", "gone", "opaquea9"}));
    EXPECT_EQ(queue.bytes(), 0u);
}

TEST(EventQueue, DropsWhatWasShownOfAnObjectThatIsGone) {
    EventQueue queue;
    for (const char *name : {"a", "b", "c"}) {
        QueuedEvent shown = queued(name, "3");
        shown.uid = std::string("uid-") + name;
        shown.authoritative = name[0] == 'a'; // of a list
        queue.push(std::move(shown));
    }
    queue.push(dbnet::bgworker::removed_event({7, "", "d"}, "uid-d"));
    queue.drop_gone({7, "", "a"}, "uid-a");
    queue.drop_gone({7, "", "b"}, "uid-of-the-one-before");
    queue.drop_gone({7, "", "d"}, "uid-d");
    queue.drop_gone({7, "", "e"}, "uid-e");
    EXPECT_EQ(versions(queue.take(10, nobody)), (std::vector<std::string>{"b3", "c3", "d"}));
    EXPECT_EQ(queue.bytes(), 0u);
}

TEST(EventQueue, TakesNoMoreThanAskedFor) {
    EventQueue queue;
    for (const char *name : {"a", "b", "c"})
        queue.push(queued(name, "1"));
    EXPECT_EQ(versions(queue.take(2, nobody)), (std::vector<std::string>{"a1", "b1"}));
    EXPECT_EQ(queue.size(), 1u);
}

TEST(EventQueue, IsBoundedByObjectsAndByBytes) {
    EventQueue by_count(EventQueue::Limits{4, 1 << 20});
    for (const char *name : {"a", "b", "c", "d"})
        by_count.push(queued(name, "1"));
    EXPECT_TRUE(by_count.is_full());
    by_count.take(1, nobody);
    EXPECT_FALSE(by_count.is_full());
    EXPECT_FALSE(by_count.has_room()) << "room only after half is taken, else the stream would stutter";
    by_count.take(1, nobody);
    EXPECT_TRUE(by_count.has_room());

    EventQueue by_bytes(EventQueue::Limits{1000, 100'000});
    by_bytes.push(queued("a", "1", 150'000));
    EXPECT_TRUE(by_bytes.is_full());
    by_bytes.push(queued("a", "2", 10));
    EXPECT_FALSE(by_bytes.is_full()) << "the replaced event's bytes are given back";
}

} // namespace
