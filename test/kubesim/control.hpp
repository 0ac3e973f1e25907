// The calls under /_sim/ by which tests steer the simulator.
#pragma once

#include "authentication.hpp"
#include "router.hpp"
#include "server.hpp"
#include "store.hpp"
#include "watch.hpp"

namespace kubesim {

class Control {
public:
    Control(Server &server, Store &store, WatchHub &watches, Router &router, Authentication &authentication)
        : server_(server), store_(store), watches_(watches), router_(router), authentication_(authentication) {}

    Response answer(const Request &request);

private:
    json state();

    Server &server_;
    Store &store_;
    WatchHub &watches_;
    Router &router_;
    Authentication &authentication_;
};

} // namespace kubesim
