// A lookup of a name that takes as long as it wants, in libcurl's thread: whoever gives up its request goes on at once.
#include "test/unit/kubernetes_transport_support.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <cstring>
#include <mutex>

using namespace dbnet::test;

namespace {

constexpr const char *hanging_name = "hangs.test";

// What the lookups of that name wait for; not longer than a test that fails for it should take.
struct NameServer {
    std::mutex mutex;
    std::condition_variable changed;
    int asked = 0, hanging = 0;
    bool answers = false;

    void lookup() {
        std::unique_lock lock(mutex);
        asked++;
        hanging++;
        changed.notify_all();
        changed.wait_for(lock, std::chrono::milliseconds(patience_ms), [this] { return answers; });
        hanging--;
        changed.notify_all();
    }
    bool is_asked(int times) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, std::chrono::milliseconds(patience_ms), [&] { return asked >= times; });
    }
    int hangs() {
        const std::lock_guard lock(mutex);
        return hanging;
    }
    // Afterwards no thread is in lookup() any more.
    void answer() {
        std::unique_lock lock(mutex);
        answers = true;
        changed.notify_all();
        changed.wait(lock, [this] { return hanging == 0; });
        answers = false;
        asked = 0;
    }
};

// Outlives the test: a thread that nobody joins may be leaving its mutex still.
NameServer &name_server() {
    static NameServer &only = *new NameServer;
    return only;
}

Connection to_hanging_name() {
    Connection connection;
    connection.api_url = std::string("https://") + hanging_name;
    return connection;
}

} // namespace

// In the place of the C library's, for libcurl, too.
extern "C" int getaddrinfo(const char *name, const char *service, const addrinfo *hints, addrinfo **found) {
    if (name != nullptr && std::strcmp(name, hanging_name) == 0) {
        name_server().lookup();
        return EAI_AGAIN;
    }
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(name, service, hints, found);
}

class KubernetesNameLookup : public TransportTest {
protected:
    void TearDown() override { name_server().answer(); }
};

TEST_F(KubernetesNameLookup, IsNotWaitedForByWhoCancels) {
    Server server(Security::plain, answer_ok);
    Transport transport;
    const auto id = transport.send(to_hanging_name(), get(), [](Response &&) { FAIL(); });
    transport.run();
    ASSERT_TRUE(name_server().is_asked(1));
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    transport.cancel(id);
    EXPECT_EQ(name_server().hangs(), 1);
    EXPECT_EQ(transport.in_flight(), 0U);
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
}

TEST_F(KubernetesNameLookup, IsNotWaitedForByARequestWhoseTimeIsOver) {
    TransportLimits limits;
    limits.answer_margin = std::chrono::milliseconds(100);
    Transport transport(limits);
    Request request = get();
    request.timeout = std::chrono::seconds(0);
    const Response answer = exchange(transport, to_hanging_name(), request);
    ASSERT_TRUE(name_server().is_asked(1));
    EXPECT_TRUE(answer.timed_out);
    EXPECT_NE(answer.transport_error.find("https://hangs.test: Resolving timed out"), std::string::npos)
        << answer.transport_error;
    EXPECT_EQ(name_server().hangs(), 1);
}

TEST_F(KubernetesNameLookup, IsNotWaitedForAtTheEnd) {
    {
        Transport transport;
        transport.send(to_hanging_name(), get(), [](Response &&) { FAIL(); });
        transport.stream(
            to_hanging_name(), get(), [](std::string_view) {}, [](Response &&) { FAIL(); });
        transport.run();
        ASSERT_TRUE(name_server().is_asked(2));
    }
    EXPECT_EQ(name_server().hangs(), 2);
}
