// SPDX-License-Identifier: Apache-2.0

// Drives one amphora with gophercloud, the client of Terraform's provider and of the OpenStack cloud provider for Kubernetes:
//
//	gophercloud ENDPOINT LISTENER-PORT MEMBER-PORT
//
// Every kind of object is created, read, listed, changed and deleted; the first thing that is not as it should be is said on
// standard error, with exit status 1. The last line of a good run is "ok" and the number of requests.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/amphorae"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavorprofiles"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/l7policies"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/providers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/quotas"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

const nobody = "00000000-0000-4000-8000-000000000000"

var ctx = context.Background()

// must ends the program with words about what failed.
func must(err error, what string, arguments ...any) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", fmt.Sprintf(what, arguments...), err)
		os.Exit(1)
	}
}

func check(holds bool, what string, arguments ...any) {
	if !holds {
		must(fmt.Errorf("is not so"), what, arguments...)
	}
}

// value is what a request gave, which must have succeeded.
func value[T any](result T, err error) T {
	must(err, "%T", result)
	return result
}

func answers(err error, status int, what string) {
	check(gophercloud.ResponseCodeIs(err, status), "%s: status %d (it was: %v)", what, status, err)
}

func pointer[T any](of T) *T {
	return &of
}

// all follows the links of a list to its end.
func all[T any](pager pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	return value(extract(value(pager.AllPages(ctx))))
}

type counter struct {
	requests atomic.Int64
}

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return http.DefaultTransport.RoundTrip(request)
}

func service(endpoint string, count *counter) *gophercloud.ServiceClient {
	endpoint = strings.TrimSuffix(endpoint, "/") + "/"
	provider := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: count}}
	return &gophercloud.ServiceClient{
		ProviderClient: provider, Endpoint: endpoint, ResourceBase: endpoint + "v2.0/", Type: "load-balancer"}
}

func checkVersions(client *gophercloud.ServiceClient) {
	root := *client
	root.ResourceBase = client.Endpoint
	versions := all(apiversions.List(&root), apiversions.ExtractAPIVersions)
	check(len(versions) == 31, "31 versions")
	check(versions[30].ID == "v2.30" && versions[30].Status == "CURRENT", "v2.30 is the current version")
}

// createWhole makes a load balancer with all that is in it, in one request.
func createWhole(client *gophercloud.ServiceClient, port, memberPort int) *loadbalancers.LoadBalancer {
	lb := value(loadbalancers.Create(ctx, client, loadbalancers.CreateOpts{
		Name: "go", VipAddress: "127.0.0.1", VipSubnetID: nobody, Tags: []string{"go", "whole"},
		Listeners: []listeners.CreateOpts{{
			Name: "go-listener", Protocol: listeners.ProtocolHTTP, ProtocolPort: port,
			InsertHeaders: map[string]string{"X-Forwarded-For": "true"}, AllowedCIDRs: []string{"127.0.0.0/8"},
			DefaultPool: &pools.CreateOpts{
				Name: "go-pool", Protocol: pools.ProtocolHTTP, LBMethod: pools.LBMethodRoundRobin,
				Persistence: &pools.SessionPersistence{Type: "SOURCE_IP"},
				Members:     []pools.CreateMemberOpts{{Name: "go-member", Address: "127.0.0.1", ProtocolPort: memberPort}},
				Monitor: monitors.CreateOpts{Name: "go-monitor", Type: "HTTP", Delay: 1, Timeout: 1, MaxRetries: 1,
					URLPath: "/health", HTTPVersion: "1.1", DomainName: "example.org"},
			},
		}},
	}).Extract())
	check(lb.Name == "go" && lb.ProvisioningStatus == "ACTIVE" && lb.VipSubnetID == nobody, "the load balancer is made")
	check(len(lb.Listeners) == 1 && len(lb.Pools) == 1, "its listener and pool are in the reply")
	return lb
}

func checkLoadBalancer(client *gophercloud.ServiceClient, lb *loadbalancers.LoadBalancer) {
	found := value(loadbalancers.Get(ctx, client, lb.ID).Extract())
	check(found.ID == lb.ID && len(found.Tags) == 2 && !found.CreatedAt.IsZero(), "the load balancer is found")
	list := all(loadbalancers.List(client, loadbalancers.ListOpts{Name: "go", Tags: []string{"whole"}}),
		loadbalancers.ExtractLoadBalancers)
	check(len(list) == 1 && list[0].ID == lb.ID, "the load balancer is listed by name and tag")
	none := all(loadbalancers.List(client, loadbalancers.ListOpts{TagsNot: []string{"whole"}}),
		loadbalancers.ExtractLoadBalancers)
	check(len(none) == 0, "a tag leaves it out")
	changed := value(loadbalancers.Update(ctx, client, lb.ID,
		loadbalancers.UpdateOpts{Description: pointer("changed"), Tags: &[]string{"go"}}).Extract())
	check(changed.Description == "changed" && len(changed.Tags) == 1, "the load balancer is changed")
	tree := value(loadbalancers.GetStatuses(ctx, client, lb.ID).Extract())
	check(tree.Loadbalancer.ID == lb.ID && tree.Loadbalancer.Listeners[0].Pools[0].Members[0].Name == "go-member", "statuses")
	value(loadbalancers.GetStats(ctx, client, lb.ID).Extract())
	answers(loadbalancers.Failover(ctx, client, lb.ID).ExtractErr(), 501, "failover")
}

func checkListener(client *gophercloud.ServiceClient, lb *loadbalancers.LoadBalancer, port int) string {
	list := all(listeners.List(client, listeners.ListOpts{LoadbalancerID: lb.ID, ProtocolPort: port}),
		listeners.ExtractListeners)
	check(len(list) == 1 && list[0].Name == "go-listener", "the listener is listed by load balancer and port")
	listener := list[0]
	check(listener.Loadbalancers[0].ID == lb.ID && listener.AllowedCIDRs[0] == "127.0.0.0/8", "the listener is whole")
	changed := value(listeners.Update(ctx, client, listener.ID, listeners.UpdateOpts{
		ConnLimit: pointer(100), TimeoutClientData: pointer(9000), InsertHeaders: &map[string]string{}}).Extract())
	check(changed.ConnLimit == 100 && changed.TimeoutClientData == 9000 && len(changed.InsertHeaders) == 0, "it is changed")
	value(listeners.GetStats(ctx, client, listener.ID).Extract())
	_, err := listeners.Create(ctx, client, listeners.CreateOpts{
		LoadbalancerID: lb.ID, Protocol: listeners.ProtocolHTTP, ProtocolPort: port}).Extract()
	answers(err, http.StatusConflict, "a second listener on the port")
	return value(listeners.Get(ctx, client, listener.ID).Extract()).ID
}

func checkPool(client *gophercloud.ServiceClient, lb *loadbalancers.LoadBalancer, listener string, memberPort int) {
	list := all(pools.List(client, pools.ListOpts{LoadbalancerID: lb.ID, Name: "go-pool"}), pools.ExtractPools)
	check(len(list) == 1 && list[0].Listeners[0].ID == listener && list[0].Persistence.Type == "SOURCE_IP", "the pool is listed")
	id := list[0].ID
	changed := value(pools.Update(ctx, client, id, pools.UpdateOpts{LBMethod: pools.LBMethodLeastConnections}).Extract())
	check(changed.LBMethod == "LEAST_CONNECTIONS", "the pool is changed")

	member := value(pools.CreateMember(ctx, client, id, pools.CreateMemberOpts{
		Address: "127.0.0.2", ProtocolPort: memberPort, Weight: pointer(3), Backup: pointer(true)}).Extract())
	check(member.Weight == 3 && member.Backup, "a member is added")
	member = value(pools.UpdateMember(ctx, client, id, member.ID, pools.UpdateMemberOpts{Weight: pointer(0)}).Extract())
	check(value(pools.GetMember(ctx, client, id, member.ID).Extract()).Weight == 0, "it is changed")
	must(pools.DeleteMember(ctx, client, id, member.ID).ExtractErr(), "it is deleted")

	batch := []pools.BatchUpdateMemberOpts{{Name: pointer("go-member"), Address: "127.0.0.1", ProtocolPort: memberPort}}
	for i := 1; i <= 6; i++ {
		batch = append(batch, pools.BatchUpdateMemberOpts{
			Name: pointer("more-" + strconv.Itoa(i)), Address: "127.0.0.3", ProtocolPort: 9000 + i, Weight: pointer(i % 2)})
	}
	must(pools.BatchUpdateMembers(ctx, client, id, batch).ExtractErr(), "members are replaced together")
	everyone := all(pools.ListMembers(client, id, pools.ListMembersOpts{Limit: 2, SortKey: "name"}), pools.ExtractMembers)
	check(len(everyone) == 7 && everyone[0].Name == "go-member" && everyone[6].Name == "more-6", "pages of members (%d)", len(everyone))
	even := all(pools.ListMembers(client, id, pools.ListMembersOpts{Limit: 1, Address: "127.0.0.3", SortKey: "name", SortDir: "desc"}),
		pools.ExtractMembers)
	check(len(even) == 6 && even[0].Name == "more-6", "pages keep their filter (%d)", len(even))
	must(pools.BatchUpdateMembers(ctx, client, id, batch[:1]).ExtractErr(), "members are taken out together")
	checkMonitor(client, id)
}

func checkMonitor(client *gophercloud.ServiceClient, pool string) {
	list := all(monitors.List(client, monitors.ListOpts{PoolID: pool}), monitors.ExtractMonitors)
	check(len(list) == 1 && list[0].Pools[0].ID == pool && list[0].DomainName == "example.org", "the monitor is listed")
	changed := value(monitors.Update(ctx, client, list[0].ID, monitors.UpdateOpts{Delay: 2, ExpectedCodes: "200-204"}).Extract())
	check(changed.Delay == 2 && changed.ExpectedCodes == "200-204", "the monitor is changed")
	must(monitors.Delete(ctx, client, list[0].ID).ExtractErr(), "the monitor is deleted")
	again := value(monitors.Create(ctx, client, monitors.CreateOpts{
		PoolID: pool, Type: "TCP", Delay: 1, Timeout: 1, MaxRetries: 1}).Extract())
	check(value(monitors.Get(ctx, client, again.ID).Extract()).Type == "TCP", "and made again")
}

func checkPolicies(client *gophercloud.ServiceClient, listener string) {
	policy := value(l7policies.Create(ctx, client, l7policies.CreateOpts{
		Name: "go-policy", ListenerID: listener, Action: l7policies.ActionReject}).Extract())
	rule := value(l7policies.CreateRule(ctx, client, policy.ID, l7policies.CreateRuleOpts{
		RuleType: l7policies.TypePath, CompareType: l7policies.CompareTypeStartWith, Value: "/no"}).Extract())
	list := all(l7policies.List(client, l7policies.ListOpts{ListenerID: listener}), l7policies.ExtractL7Policies)
	check(len(list) == 1 && list[0].ID == policy.ID && list[0].Rules[0].ID == rule.ID, "the policy is listed")
	rules := all(l7policies.ListRules(client, policy.ID, l7policies.ListRulesOpts{Value: "/no"}), l7policies.ExtractRules)
	check(len(rules) == 1 && rules[0].ID == rule.ID, "the rule is listed")
	checkQueries(client, "lbaas/l7policies/"+policy.ID+"/rules", l7policies.ListRulesOpts{})
	changed := value(l7policies.UpdateRule(ctx, client, policy.ID, rule.ID,
		l7policies.UpdateRuleOpts{Invert: pointer(true)}).Extract())
	check(changed.Invert, "the rule is changed")
	moved := value(l7policies.Update(ctx, client, policy.ID, l7policies.UpdateOpts{
		Action: l7policies.ActionRedirectToURL, RedirectURL: pointer("https://example.org/")}).Extract())
	check(moved.Action == "REDIRECT_TO_URL", "the policy is changed")
	must(l7policies.DeleteRule(ctx, client, policy.ID, rule.ID).ExtractErr(), "the rule is deleted")
	must(l7policies.Delete(ctx, client, policy.ID).ExtractErr(), "the policy is deleted")
	_, err := l7policies.Get(ctx, client, policy.ID).Extract()
	answers(err, http.StatusNotFound, "a deleted policy")
}

func checkLookups(client *gophercloud.ServiceClient, lb string) {
	check(len(all(providers.List(client, providers.ListOpts{}), providers.ExtractProviders)) == 3, "providers")
	check(len(all(flavors.List(client, flavors.ListOpts{}), flavors.ExtractFlavors)) == 0, "no flavors")
	check(len(all(flavorprofiles.List(client, flavorprofiles.ListOpts{}), flavorprofiles.ExtractFlavorProfiles)) == 0,
		"no flavor profiles")
	check(value(quotas.Get(ctx, client, nobody).Extract()).Pool == -1, "no quotas")
	_, err := quotas.Update(ctx, client, nobody, quotas.UpdateOpts{Pool: pointer(1)}).Extract()
	answers(err, 501, "a change of quotas")
	mine := all(amphorae.List(client, amphorae.ListOpts{LoadbalancerID: lb}), amphorae.ExtractAmphorae)
	check(len(mine) == 1 && mine[0].Status == "ALLOCATED", "this amphora")
	check(value(amphorae.Get(ctx, client, mine[0].ID).Extract()).ID == mine[0].ID, "this amphora by its id")
	answers(amphorae.Failover(ctx, client, mine[0].ID).ExtractErr(), 501, "failover of the amphora")
}

// checkQueries asks a list with every parameter that gophercloud has for it.
func checkQueries(client *gophercloud.ServiceClient, path string, options any) {
	for i, kind := 0, reflect.TypeOf(options); i < kind.NumField(); i++ {
		name, _, _ := strings.Cut(kind.Field(i).Tag.Get("q"), ",")
		switch {
		case name == "", name == "marker", name == "sort_key", name == "sort_dir":
			continue
		case name == "status" && path == "lbaas/healthmonitors": // which Octavia does not have
			continue
		}
		var body any
		_, err := client.Get(ctx, client.ServiceURL(path)+"?"+name+"=1", &body, nil)
		must(err, "%s by %s", path, name)
	}
}

func checkAllQueries(client *gophercloud.ServiceClient, pool string) {
	checkQueries(client, "lbaas/loadbalancers", loadbalancers.ListOpts{})
	checkQueries(client, "lbaas/listeners", listeners.ListOpts{})
	checkQueries(client, "lbaas/pools", pools.ListOpts{})
	checkQueries(client, "lbaas/pools/"+pool+"/members", pools.ListMembersOpts{})
	checkQueries(client, "lbaas/healthmonitors", monitors.ListOpts{})
	checkQueries(client, "lbaas/l7policies", l7policies.ListOpts{})
	checkQueries(client, "lbaas/providers", providers.ListOpts{})
	checkQueries(client, "lbaas/flavors", flavors.ListOpts{})
	checkQueries(client, "lbaas/flavorprofiles", flavorprofiles.ListOpts{})
	checkQueries(client, "octavia/amphorae", amphorae.ListOpts{})
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: gophercloud ENDPOINT LISTENER-PORT MEMBER-PORT")
		os.Exit(2)
	}
	count := &counter{}
	client := service(os.Args[1], count)
	port, memberPort := value(strconv.Atoi(os.Args[2])), value(strconv.Atoi(os.Args[3]))

	checkVersions(client)
	_, err := loadbalancers.Get(ctx, client, nobody).Extract()
	answers(err, http.StatusNotFound, "a load balancer that is not there")
	lb := createWhole(client, port, memberPort)
	checkLoadBalancer(client, lb)
	listener := checkListener(client, lb, port)
	checkPool(client, lb, listener, memberPort)
	checkPolicies(client, listener)
	checkLookups(client, lb.ID)
	checkAllQueries(client, lb.Pools[0].ID)
	must(loadbalancers.Delete(ctx, client, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr(), "delete with cascade")
	check(len(all(loadbalancers.List(client, nil), loadbalancers.ExtractLoadBalancers)) == 0, "nothing is left")
	fmt.Println("ok", count.requests.Load())
}
