package chart

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The members of NACK's jetstream.nats.io/v1beta2 that the chart uses, by the names that its CRDs and types have
// (deploy/crds.yml, release 0.23). Its module is not served everywhere, so they are written down here.

type nackStream struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              nackStreamSpec `json:"spec"`
}

type nackStreamSpec struct {
	nackShared
	Name              string            `json:"name"`
	Description       string            `json:"description,omitempty"`
	Subjects          []string          `json:"subjects,omitempty"`
	Retention         string            `json:"retention,omitempty"`
	Storage           string            `json:"storage,omitempty"`
	Discard           string            `json:"discard,omitempty"`
	Replicas          int               `json:"replicas,omitempty"`
	MaxMsgsPerSubject int64             `json:"maxMsgsPerSubject,omitempty"`
	MaxBytes          int64             `json:"maxBytes,omitempty"`
	MaxMsgSize        int32             `json:"maxMsgSize,omitempty"`
	MaxAge            string            `json:"maxAge,omitempty"`
	DuplicateWindow   string            `json:"duplicateWindow,omitempty"`
	DenyDelete        bool              `json:"denyDelete,omitempty"`
	AllowRollup       bool              `json:"allowRollup,omitempty"`
	AllowDirect       bool              `json:"allowDirect,omitempty"`
	AllowMsgTTL       bool              `json:"allowMsgTtl,omitempty"`
	AllowMsgSchedules bool              `json:"allowMsgSchedules,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
}

type nackConsumer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              nackConsumerSpec `json:"spec"`
}

type nackConsumerSpec struct {
	nackShared
	StreamName    string            `json:"streamName"`
	DurableName   string            `json:"durableName"`
	Description   string            `json:"description,omitempty"`
	FilterSubject string            `json:"filterSubject,omitempty"`
	DeliverPolicy string            `json:"deliverPolicy,omitempty"`
	AckPolicy     string            `json:"ackPolicy,omitempty"`
	AckWait       string            `json:"ackWait,omitempty"`
	MaxDeliver    int               `json:"maxDeliver,omitempty"`
	MaxAckPending int               `json:"maxAckPending,omitempty"`
	MaxWaiting    int               `json:"maxWaiting,omitempty"`
	ReplayPolicy  string            `json:"replayPolicy,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// nackShared is what every resource has.
type nackShared struct {
	PreventDelete bool     `json:"preventDelete,omitempty"`
	Account       string   `json:"account,omitempty"`
	Servers       []string `json:"servers,omitempty"`
}

// DeepCopyObject implements runtime.Object; nothing here changes one.
func (s *nackStream) DeepCopyObject() runtime.Object { return s }

// DeepCopyObject implements runtime.Object.
func (c *nackConsumer) DeepCopyObject() runtime.Object { return c }

func addNACK(scheme *runtime.Scheme) error {
	group := schema.GroupVersion{Group: "jetstream.nats.io", Version: "v1beta2"}
	scheme.AddKnownTypeWithName(group.WithKind("Stream"), &nackStream{})
	scheme.AddKnownTypeWithName(group.WithKind("Consumer"), &nackConsumer{})
	return nil
}
